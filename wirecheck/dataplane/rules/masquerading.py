"""The question about marks: which of them make the rules after routing masquerade a connection?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from wirecheck.addresses import IPAddress
from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.engine import Flows, Question, RuleEngine
from wirecheck.dataplane.rules.flows import Flow, is_refused, split_by_mark
from wirecheck.dataplane.rules.steps import Step
from wirecheck.dataplane.table import RuleText

ByMark = Callable[[int], bool | None]
"""Whether a packet with a mark is masqueraded, None where it is dropped."""


RuleFor = Callable[[int], RuleText | None]
"""Returns the third-party rule that decides whether packets with a mark are masqueraded, if any."""


@dataclass(frozen=True)
class LeavingPacket:
    """The first packet of a translated connection."""

    mark: int
    source: IPAddress
    backend: Backend
    protocol: str
    device: str
    """By which it leaves; empty if that is not known."""
    from_node: bool
    """Whether the node itself sent it."""


class Exemptions(Protocol):
    """Third-party rules that keep packets from being masqueraded by their mark."""

    @property
    def matters(self) -> bool:
        """Whether there may be such a rule."""

    def sources(self, family: int) -> Iterator[IPAddress]:
        """Addresses that the rules may treat differently than others."""

    def sparing(self, packet: LeavingPacket, by_mark: ByMark) -> str | None:
        """The rule that keeps the packet from being masqueraded."""


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


def third_party_for(chains: Chains[Any], base_chain: str) -> RuleFor:
    """The third-party rule by which a table masquerades packets with a mark, or accepts them."""

    @cache
    def rule_for(mark: int) -> RuleText | None:
        engine = RuleEngine(MarkedPacket(), chains)
        engine.to_end_of(base_chain, [Flow(1, mark)])
        if engine.is_masqueraded:
            is_of_others = chains.is_third_party(engine.masqueraded_in)
            return engine.masqueraded_by[-1] if is_of_others else None
        ends = [each.accepted[-1] for each in engine.accepted if each.accepted]
        return next((each.rules[-1] for each in ends if each.third_party), None)

    return rule_for


def first_rule(rules: Sequence[RuleFor]) -> RuleFor:
    """The first of the rules of several tables."""
    return lambda mark: next((found for each in rules if (found := each(mark))), None)


def _is_general(step: Step) -> bool:
    """Whether the step matches every packet, except for its mark."""
    is_special = not step.first or step.protocol or step.host or step.port or step.tests
    return not (is_special or step.sources or step.probability < 1 or step.recalls)
