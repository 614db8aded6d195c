"""The question about marks: which of them make the rules after routing masquerade a connection?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.engine import Flows, Question, RuleEngine
from wirecheck.dataplane.rules.flows import Flow, is_refused, split_by_mark
from wirecheck.dataplane.rules.steps import Step

ByMark = Callable[[int], bool | None]
"""Whether a packet with a mark is masqueraded, None where it is dropped."""


class MarkedPacket(Question):
    """A packet of which nothing but the mark is known.

    Rules with conditions on addresses or interfaces are left out: they belong to other agents,
    and say nothing about the mark. Unrecognised actions are left out too.
    """

    skips_unrecognised = True

    def __init__(self) -> None:
        self.concerns = _is_general

    def split(self, step: Step, flows: Flows) -> tuple[Flows, Flows]:
        """By the mark."""
        return split_by_mark(step, flows, is_sure=True)


def in_turn(hooks: Sequence[ByMark]) -> ByMark:
    """The combined effect of several tables in order."""

    @cache
    def is_masqueraded(mark: int) -> bool | None:
        answers = [each(mark) for each in hooks]
        return None if None in answers else any(answers)

    return is_masqueraded


def by_mark(chains: Chains[Any], base_chain: str) -> ByMark:
    """Whether a table masquerades a packet with a mark, wherever it comes from and goes."""

    @cache
    def is_masqueraded(mark: int) -> bool | None:
        engine = RuleEngine(MarkedPacket(), chains)
        engine.to_end_of(base_chain, [Flow(1, mark)])
        if any(is_refused(each) for each in engine.results):
            return None
        return engine.is_masqueraded

    return is_masqueraded


def _is_general(step: Step) -> bool:
    """Whether the step matches every packet, except for its mark."""
    is_special = not step.first or step.protocol or step.host or step.port or step.tests
    return not (is_special or step.sources or step.probability < 1 or step.recalls)
