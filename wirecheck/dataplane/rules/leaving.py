"""The question about packets on their way out: does a third-party rule prevent their masquerading?

kube-proxy marks connections and masquerades them by the mark, after all other rules. A rule that
clears the mark before that, or that ends table nat for some packets, leaves them as they are: the
backend answers the client directly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from msgspec.structs import replace as changed

from wirecheck.addresses import IPAddress, address, network
from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.engine import Flows, RuleEngine
from wirecheck.dataplane.rules.flows import Flow
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket, OnePacket
from wirecheck.dataplane.rules.handlings import Masquerading
from wirecheck.dataplane.rules.masquerading import (
    ByMark,
    LeavingPacket,
    by_mark,
    first_rule,
    in_turn,
    third_party_for,
)
from wirecheck.dataplane.rules.ruleset import Stage, reachable
from wirecheck.dataplane.rules.steps import End, Jump, Return, SetMark, Step
from wirecheck.dataplane.table import RuleText, Verdict, text_of

MOST_KNOWN = 100_000
"""Packets whose answer is kept: of each backend one for each kind of client."""


class WithMark(OnePacket):
    """One packet with a mark, and the rules that change the mark."""

    skips_unrecognised = True

    def __init__(self, packet: LeavingPacket) -> None:
        backend = packet.backend
        super().__init__(
            ForwardedPacket(
                packet.source,
                address(backend.address),
                oif=packet.device,
                protocol=packet.protocol,
                port=backend.port,
            )
        )
        self.chains: Chains[Any] | None = None
        """Those that the packet is in."""
        self.changing: list[tuple[str, int, int]] = []
        """The rules that changed the mark, which is before and after."""
        self._is_saved = False

    def split(self, step: Step, flows: Flows) -> tuple[Flows, Flows]:
        """As for any packet; what restores the connection's mark clears that of a new one."""
        matched, others = super().split(changed(step, restores_mark=False), flows)
        if not matched or others:
            return matched, others
        self._is_saved |= step.saves_mark
        if step.restores and not self._is_saved:
            matched = [self._marked(step, each, each.mark & ~step.restores) for each in matched]
        for action in step.actions:
            if isinstance(action, SetMark):
                for each in matched:
                    self._marked(step, each, action.of(each.mark))
        return matched, others

    def _marked(self, step: Step, flow: Flow, mark: int) -> Flow:
        if mark != flow.mark:
            (rule,) = self.chains.named((step.rule,)) if self.chains else (step.rule,)
            self.changing.append((text_of(rule), flow.mark, mark))
        return changed(flow, mark=mark)


@dataclass(frozen=True)
class Leaving:
    """The stages of translated packets until table nat has decided about their source."""

    forwarded: tuple[Stage, ...] = ()
    """Of packets that the node forwards, before the next ones."""
    last: tuple[Stage, ...] = ()
    """Of all packets, before table nat."""
    nat: tuple[Stage, ...] = ()
    """The base chains of iptables that masquerade by the mark."""
    bits: int = 0
    """Those of the mark by which further chains masquerade."""
    _known: dict[LeavingPacket, str | None] = field(default_factory=dict, compare=False)

    @cached_property
    def matters(self) -> bool:
        """Whether a rule may keep a packet from being masqueraded: on most nodes there is none."""
        return any(self._changing()) or any(self._ending())

    @cached_property
    def _bits(self) -> int:
        """Policy engines change other bits of the mark, on every node."""
        return self.bits | mark_bits(self.nat)

    def _changing(self) -> Iterator[Step]:
        """The rules that change the mark by which packets are masqueraded."""
        for stage in (*self.forwarded, *self.last):
            for chain in reachable(stage):
                yield from (each for each in chain.steps if changed_bits(each) & self._bits)

    def _ending(self) -> Iterator[Step]:
        """The third-party rules that end table nat, except for packets with their own marks."""
        for stage in self.nat:
            own = mark_bits([stage], of_kubernetes=True)
            for chain in reachable(stage):
                if stage.chains.is_third_party(chain.name):
                    is_base = chain.name == stage.base_chain
                    ending = (each for each in chain.steps if _ends(each, is_base=is_base))
                    yield from (each for each in ending if not _needs_mark(each, own))

    def sources(self, family: int) -> Iterator[IPAddress]:
        """An address of each range in conditions of these rules on the source."""
        tests = (
            test
            for step in (*self._changing(), *self._ending())
            for test in step.sources
            if test.kind == "network"
        )
        for test in tests:
            for each in test.value.split(","):
                range_ = network(each)
                if range_.version == family:
                    yield range_.network_address + min(1, range_.num_addresses - 1)

    def sparing(self, packet: LeavingPacket, by_mark: ByMark) -> str | None:
        """The third-party rule that keeps a packet with this mark from being masqueraded.

        None if it is masqueraded, may be, or is not because of Kubernetes' own rules.
        """
        if packet not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[packet] = self._sparing(packet, by_mark)
        return self._known[packet]

    def _sparing(self, packet: LeavingPacket, by_mark: ByMark) -> str | None:
        question = WithMark(packet)
        flows = [Flow(1, packet.mark)]
        for stage in (*(() if packet.from_node else self.forwarded), *self.last):
            question.chains = stage.chains
            flows = RuleEngine(question, stage.chains).through(stage.base_chain, flows)
        if any(by_mark(each.mark) is not True for each in flows):
            return self._clearing(question, flows, by_mark)
        endings = [self._ending_rule(question, stage, flows) for stage in self.nat]
        return next((each for each in endings if each), None) if all(endings) else None

    def _clearing(self, question: WithMark, flows: Flows, by_mark: ByMark) -> str | None:
        """The rule that cleared the mark, if it did so in any case."""
        if any(by_mark(each.mark) for each in flows):
            return None
        for rule, before, after in reversed(question.changing):
            if by_mark(before) and not by_mark(after):
                return rule
        return None

    def _ending_rule(self, question: WithMark, stage: Stage, flows: Flows) -> str | None:
        """The third-party rule that ends table nat for the packet, in any case."""
        engine = RuleEngine(question, stage.chains)
        left = engine.to_end_of(stage.base_chain, flows)
        if engine.is_masqueraded or engine.results:
            return None
        if engine.accepted and not left:
            last = engine.accepted[-1].accepted[-1]
            return text_of(last.rules[-1]) if last.third_party else None
        if engine.left_by is None or engine.accepted:
            return None
        return text_of(engine.left_by) if left else None


def is_about_marks(stage: Stage) -> bool:
    """Whether any of its rules changes the mark of packets or of connections."""
    steps = (step for chain in reachable(stage) for step in chain.steps)
    return any(step.saves_mark or changed_bits(step) for step in steps)


def changed_bits(step: Step) -> int:
    """The bits of the packet's mark that the rule may change."""
    found = step.restores
    for action in step.actions:
        if isinstance(action, SetMark):
            found |= action.clear | action.flip
    return found


def mark_bits(stages: Iterable[Stage], *, of_kubernetes: bool = False) -> int:
    """The bits of the mark that rules of these base chains ask for, or only Kubernetes' own."""
    found = 0
    for stage in stages:
        for chain in reachable(stage):
            if not (of_kubernetes and stage.chains.is_third_party(chain.name)):
                for test in (each for step in chain.steps for each in step.marks):
                    found |= test.mask
    return found


def _needs_mark(step: Step, own: int) -> bool:
    """Whether the rule is for packets with other bits of the mark than Kubernetes' own."""
    return any(test.value & ~own and not test.negated for test in step.marks)


def with_stages(
    masquerading: Masquerading, forwarded: Sequence[Stage], last: Sequence[Stage]
) -> Masquerading:
    """The same with further stages before packets are masqueraded, in the order of priorities."""
    known = masquerading.exemptions
    own = known if isinstance(known, Leaving) else Leaving()

    def in_order(stages: Iterable[Stage]) -> tuple[Stage, ...]:
        return tuple(sorted(stages, key=lambda stage: stage.priority))

    leaving = Leaving(
        in_order((*own.forwarded, *forwarded)),
        in_order((*own.last, *last)),
        own.nat,
        own.bits,
    )
    return masquerading._replace(exemptions=leaving)


def also_by(masquerading: Masquerading, stages: Sequence[Stage]) -> Masquerading:
    """The same where further chains of type nat see packets, too: any of them may masquerade."""
    if not stages:
        return masquerading
    marks = [by_mark(each.chains, each.base_chain) for each in stages]
    rules = [third_party_for(each.chains, each.base_chain) for each in stages]
    masquerades = in_turn(marks)

    def rule_for(mark: int) -> RuleText | None:
        # Accepting ends the chain of its own table only.
        others = first_rule(rules)(mark) if masquerades(mark) else None
        return masquerading.rule_for(mark) or others

    return masquerading._replace(
        by_mark=in_turn([masquerading.by_mark, masquerades]), rule_for=rule_for
    )


def as_sent(masquerading: Masquerading) -> Masquerading:
    """The same for packets that do not meet the hook FORWARD."""
    known = masquerading.exemptions
    if not isinstance(known, Leaving):
        return masquerading
    return masquerading._replace(
        exemptions=Leaving(last=known.last, nat=known.nat, bits=known.bits)
    )


def _ends(step: Step, *, is_base: bool) -> bool:
    """Whether the rule ends table nat: by accepting, or by leaving the base chain."""
    return any(
        each == End(Verdict.NOTHING)
        or (is_base and (isinstance(each, Return) or (isinstance(each, Jump) and each.goto)))
        for each in step.actions
    )
