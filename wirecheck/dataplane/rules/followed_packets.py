"""Many first packets followed at once: which of them do filters pass, refuse, or leave unknown?

A chain is walked once for all of them, and a condition divides the bits that stand for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from msgspec.structs import replace

from wirecheck.addresses import IPAddress, network
from wirecheck.dataplane.rules.engine import Flows, Question, RuleEngine
from wirecheck.dataplane.rules.flows import Flow, has_marks, is_refused, merged
from wirecheck.dataplane.rules.many_packets import Ends, ManyPackets
from wirecheck.dataplane.rules.ruleset import Stage
from wirecheck.dataplane.rules.set_members import (
    OF_ADDRESS_AND_PORT,
    OF_ADDRESSES,
    OF_PORTS,
    IpsetMembers,
    Port,
    Ranges,
)
from wirecheck.dataplane.rules.steps import IN, OUT, End, Packet, SetTest, SourceTest, Step
from wirecheck.dataplane.table import RuleText, Verdict, text_of

BRIDGED = "-m physdev --physdev-is-bridged"
NOT_BRIDGED = "-m physdev ! --physdev-is-bridged"
REVERSE_PATH = SourceTest("packet", "the reverse path", negated=False)
REFUSALS = frozenset({End(Verdict.DROP), End(Verdict.REJECT)})
MOST_RANGES = 4_096
UNREAD_SET = "a rule matches an ipset whose members are not known"
UNTRACKED = "the connection is not tracked, so its answers are filtered as well"

Masks = tuple[int, int]
"""The packets that match for certain, and those of which it is not known."""


@dataclass
class Fates:
    """What filters do with packets, as bits. A packet that both may happen to is in both."""

    passed: int = 0
    refused: int = 0
    unknown: int = 0
    doubts: list[tuple[int, str]] = field(default_factory=list)
    """Rules of which it is not known whether they match, with the packets concerned."""
    refused_by: tuple[str, ...] = ()
    accepted_by: tuple[str, ...] = ()
    members: list[str] = field(default_factory=list)
    """`10.0.0.1 is in set X`: of rules that a single packet matches."""
    lacking: list[str] = field(default_factory=list)
    """`10.0.0.1 is not in set X`: of rules whose other conditions a single packet matches."""

    @property
    def undecided(self) -> int:
        return self.unknown | (self.passed & self.refused)

    def reason(self, packets: int) -> str:
        """Why the fate of these packets is not known."""
        found = (why for mask, why in self.doubts if mask & packets)
        return next(found, "it is not known what a rule does")


class EachPacket(Question):
    """What the steps of one stage mean for each of the packets."""

    def __init__(
        self, packets: ManyPackets, sets: Mapping[str, IpsetMembers], fates: Fates
    ) -> None:
        self.everybody = packets.all
        self.concerns = _acts
        self._packets = packets
        self._sets = sets
        self._fates = fates
        self._by_test: dict[SourceTest, Masks] = {}
        self._by_set: dict[SetTest, Masks] = {}
        self._by_text: dict[tuple[str, str, int], int] = {}

    def split(self, step: Step, flows: Flows) -> tuple[Flows, Flows]:
        """The flows that may match the step, and those that may not match it."""
        here = 0
        for flow in flows:
            if not step.marks or has_marks(flow, step.marks):
                here |= flow.sources
        sure, maybe = self._matching(step, here)
        matched: Flows = []
        others: Flows = []
        for flow in flows:
            is_marked = not step.marks or has_marks(flow, step.marks)
            took = flow.sources & (sure | maybe) if is_marked else 0
            left = flow.sources & ~sure if is_marked else flow.sources
            if took:
                matched.append(replace(flow, sources=took))
            if left:
                others.append(replace(flow, sources=left))
        return matched, others

    def _matching(self, step: Step, among: int) -> Masks:
        found = self._by_destination(step, among)
        maybe = 0
        for test in step.sources:
            if not found:
                return 0, 0
            if test == REVERSE_PATH and REFUSALS.intersection(step.actions):
                # A pod's packet comes in by the device of the route to it.
                return 0, 0
            sure, open_ = self._of_source(test)
            maybe |= open_
            found &= sure | open_
        if step.sets and found:
            if len(self._packets.ends) == len(self._packets.ports) == 1:
                self._note(step.sets)
            for each in step.sets:
                sure, open_ = self._of_set(each)
                maybe |= open_
                found &= sure | open_
        if step.probability < 1:
            maybe = found
        doubtful = found & maybe
        if doubtful:
            self._fates.doubts.append((doubtful, _doubt(step)))
        return found & ~maybe, doubtful

    def _by_destination(self, step: Step, found: int) -> int:
        """Those of the packets whose destination, protocol and port match."""
        if step.never or step.recalls:
            return 0
        if step.host or step.port or step.protocol:
            found &= self._of_text(step.host, step.protocol, step.port)
        for test in step.tests:
            if found:
                found &= self._of_test(test, found)
        return found

    def _of_text(self, host: str, protocol: str, port: int) -> int:
        key = (host, protocol, port)
        if key not in self._by_text:
            packets = self._packets
            found = packets.of_ports(
                lambda each: (not protocol or protocol == each[0]) and (not port or port == each[1])
            )
            if host:
                found &= packets.by_host.get(host, 0)
            self._by_text[key] = found
        return self._by_text[key]

    def _of_test(self, test: Callable[[Packet], bool], among: int) -> int:
        packets, found = self._packets, 0
        for address, mask in packets.by_destination.items():
            if mask & among:
                found |= mask & packets.of_ports(
                    lambda port, to=address: test(_packet(to, port))  # type: ignore[misc]
                )
        return found

    def _of_source(self, test: SourceTest) -> Masks:
        if test not in self._by_test:
            self._by_test[test] = self._of_new_source(test)
        return self._by_test[test]

    def _of_new_source(self, test: SourceTest) -> Masks:
        everything, packets = self._packets.all, self._packets
        unknown = 0
        match test.kind:
            case "network":
                found = packets.of_ranges("src", _ranges_of(test.value))
            case "local":
                found = 0
            case kind if kind in (IN, OUT):
                unknown = packets.of_ends(lambda each: not _device(each, kind))
                found = packets.of_ends(lambda each: test.names_device(_device(each, kind)))
            case "other" if test.value in (BRIDGED, NOT_BRIDGED):
                wanted = test.value == BRIDGED
                found = packets.of_ends(lambda each: each.is_bridged is wanted)
            case _:
                return 0, everything
        sure = everything & ~found if test.negated else found
        return sure & ~unknown, unknown

    def _of_set(self, test: SetTest) -> Masks:
        if test not in self._by_set:
            found = self._members(test)
            everything = self._packets.all
            if found is None:
                self._by_set[test] = 0, everything
            else:
                self._by_set[test] = (everything & ~found if test.negated else found), 0
        return self._by_set[test]

    def _members(self, test: SetTest) -> int | None:
        """The packets that are in the set; None if that is not known."""
        members, packets = self._sets.get(test.name), self._packets
        if members is None or not set(test.fields) <= {"src", "dst"}:
            return None
        side = test.fields[0]
        if members.type in OF_ADDRESSES and len(test.fields) == 1 and members.addresses:
            return packets.of_ranges(side, members.addresses)
        if members.type == OF_PORTS and test.fields == ("dst",):
            return packets.of_ports(lambda port: port[1] in members.port_numbers)
        if members.type in OF_ADDRESS_AND_PORT and test.fields[1:] == ("dst",):
            return self._with_ports(members, side)
        return None

    def _with_ports(self, members: IpsetMembers, side: str) -> int | None:
        packets, by_port = self._packets, members.by_port
        if by_port is None:
            return None
        found = 0
        for at, each in enumerate(packets.ends):
            address = _side(each, side)
            known = (by_port.get(port) for port in packets.ports)
            bits = sum(1 << n for n, of in enumerate(known) if of and of.has(address))
            found |= packets.of_end(at, bits)
        return found

    def _note(self, tests: Sequence[SetTest]) -> None:
        """Remember the sets that decide about a single packet."""
        failing = [each for each in tests if not sum(self._of_set(each))]
        if len(failing) <= 1:
            notes = self._fates.lacking if failing else self._fates.members
            notes += [self._membership(each, holds=not failing) for each in failing or tests]

    def _membership(self, test: SetTest, *, holds: bool) -> str:
        (ends,), ((protocol, port),) = self._packets.ends, self._packets.ports
        where = f" with {protocol} {port}" if len(test.fields) > 1 else ""
        is_in = "is in" if holds is not test.negated else "is not in"
        return f"{_side(ends, test.fields[0])}{where} {is_in} set {test.name}"


@lru_cache(maxsize=MOST_RANGES)
def _ranges_of(text: str) -> Ranges:
    """The ranges that a rule names as the source: the same rules are followed for every pod."""
    return Ranges(map(network, text.split(",")))


def followed(
    stages: Iterable[Stage], packets: ManyPackets, sets: Mapping[str, IpsetMembers]
) -> Fates:
    """What the stages, in their order, do with the packets."""
    fates = Fates()
    flows = [Flow(packets.all)] if packets.all else []
    for stage in stages:
        if not flows:
            break
        engine = RuleEngine(EachPacket(packets, sets, fates), stage.chains)
        rest = engine.to_end_of(stage.base_chain, flows)
        for each in engine.results:
            if is_refused(each):
                fates.refused |= each.flow.sources
                fates.refused_by = tuple(map(text_of, each.rules))
            elif each.verdict is Verdict.UNTRACKED:
                fates.unknown |= each.flow.sources
                fates.doubts.append((each.flow.sources, f"{UNTRACKED}: {text_of(each.rules[-1])}"))
            else:
                fates.unknown |= each.flow.sources
                fates.doubts.append((each.flow.sources, _why(each.reason, each.rules)))
        if stage.policy == "DROP" and rest:
            fates.refused |= _all(rest)
            fates.refused_by = (text_of(stage.chains.policy_drop(stage.base_chain)),)
            rest = []
        if engine.accepted and engine.accepted[-1].accepted:
            fates.accepted_by = tuple(map(text_of, engine.accepted[-1].accepted[-1].rules))
        flows = merged([*engine.accepted, *rest])
    fates.passed = _all(flows)
    return fates


def _all(flows: Iterable[Flow]) -> int:
    found = 0
    for each in flows:
        found |= each.sources
    return found


def _why(reason: str, rules: Sequence[RuleText]) -> str:
    rule = f": {text_of(rules[-1])}" if rules else ""
    return f"{reason or 'it is not known what a rule does'}{rule}"


def _doubt(step: Step) -> str:
    return UNREAD_SET if step.sets else f"it is not known whether a rule matches: {step.text}"


def _acts(step: Step) -> bool:
    return bool(step.actions) and not step.never


def _device(ends: Ends, kind: str) -> str:
    return ends.iif if kind == IN else ends.oif


def _side(ends: Ends, field_: str) -> IPAddress:
    return ends.source if field_ == "src" else ends.destination


def _packet(to: IPAddress, port: Port) -> Packet:
    return Packet(to.version, str(to), int(to), *port, is_local=False)


def kept(step: Step) -> Iterator[Step]:
    """The step itself, with its conditions on sets: they are decided for each packet."""
    yield step
