"""The question about translated connections: does a rule refuse all of them after DNAT?

Filtering after DNAT is mostly network policy, which is not the Service's. Kubernetes' own
chains contain no policy: a rule there that refuses all connections, all replies or everything
with the masquerade mark breaks Services. Only what is refused for certain counts.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.engine import Flows, Question, RuleEngine
from wirecheck.dataplane.rules.flows import Flow, is_refused, split_by_mark
from wirecheck.dataplane.rules.steps import Step
from wirecheck.dataplane.table import RuleText


class FirstPackets(Question):
    """The first packets of translated connections, whatever their addresses."""

    def __init__(self) -> None:
        self.concerns = attrgetter("first")

    def split(self, step: Step, flows: Flows) -> tuple[Flows, Flows]:
        """A condition on more than the mark matches some of the packets and others not."""
        return split_by_mark(step, flows, is_sure=self.is_sure(step))

    def is_sure(self, step: Step) -> bool:
        """Whether the step matches all of the packets, if their mark matches."""
        is_for_some = step.protocol or step.host or step.port or step.tests or step.sources
        return not (is_for_some or step.probability < 1 or step.recalls)


class LaterPackets(FirstPackets):
    """All later packets of translated connections, in both directions."""

    def __init__(self) -> None:
        self.concerns = lambda step: step.later is not False

    def is_sure(self, step: Step) -> bool:
        """As for first packets, if the state of the connection matches for certain."""
        return bool(step.later) and super().is_sure(step)


def refusal(
    chains: Chains[Any],
    base_chain: str,
    mark: int,
    *,
    is_first: bool,
    counts: Callable[[str], bool],
) -> RuleText | None:
    """The rule that refuses all such packets from a base chain on; None where some may pass.

    `counts` decides by the name of the rule's chain: third-party chains contain policy.
    """
    engine = RuleEngine(FirstPackets() if is_first else LaterPackets(), chains)
    left = engine.to_end_of(base_chain, [Flow(1, mark)])
    ends = engine.results
    if left or engine.accepted or not all(map(is_refused, ends)):
        return None
    if not counts(engine.ended_in):
        return None
    # Each result leaves fewer connections than the one before; the last one ends the rest.
    return ends[-1].rules[-1]
