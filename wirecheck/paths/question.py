"""The question about one packet: which rules of a hook match it, and what do they do with it?

A condition on what is not known is followed both ways, and remembered: the answer is open unless
both ways end alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from msgspec.structs import replace

from wirecheck.addresses import IPAddress, network
from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.rules.chains import concerns_destination
from wirecheck.dataplane.rules.engine import Flows, OfPacket
from wirecheck.dataplane.rules.flows import split_by_mark
from wirecheck.dataplane.rules.steps import HERE, IN, OUT, Dnat, Packet, SourceTest, Step
from wirecheck.paths.ip_sets import NO_SETS, IpSets
from wirecheck.paths.later_packets import REVERSE_PATH, answer_matches, source_port_matches
from wirecheck.paths.packet import Segment
from wirecheck.paths.states import asks_for_connection, state_matches

SETS_TTL = re.compile(r"(?:--(?:ttl|hl)-set|(?:ttl|hoplimit) set) (\d{1,3})")
SETS_ZONE = re.compile(r"--zone(?:-orig|-reply)? |ct (?:original |reply )?zone set ")
TRACKED_STATES = ("ESTABLISHED", "established")


@dataclass(frozen=True)
class Situation:
    """What rules can ask about a packet beside what is in it."""

    packet: Segment
    iif: str
    """The device by which it came in; empty for packets of the netns itself."""
    oif: str
    """The device by which it leaves; empty before routing."""
    is_local: bool
    """Whether the destination is an address of the netns."""
    is_from_here: bool
    """Whether the source is."""
    is_translated: bool = False
    """Whether the destination was translated in this netns."""
    is_tracked: bool = True
    """Whether connection tracking here knows the connection, or sees its first packet."""
    state: str = ""
    """INVALID, UNTRACKED or NEW without a connection; empty for a packet of a known one."""
    is_before_tracking: bool = False
    """Whether the hook is the one at which connection tracking first meets the packet."""
    is_translating: bool = True
    """Whether table nat is asked: not again for what has passed OUTPUT and comes in by lo."""
    sets: IpSets = NO_SETS
    """The ipsets of the netns."""
    overlooked: frozenset[str] = frozenset()
    """Rules that are followed as if they were not there."""
    redirected_to: str = ""
    """The address that REDIRECT gives in place of 127.0.0.1: of the device that took it in."""
    is_back: bool | None = None
    """Whether the route to the source leaves by the device by which the packet came in."""

    @property
    def own(self) -> Packet:
        """The packet as rules see it."""
        packet = self.packet
        return Packet(
            packet.family,
            str(packet.destination),
            int(packet.destination),
            packet.protocol,
            packet.port,
            self.is_local,
        )


class Followed(OfPacket):
    """One packet in one hook."""

    def __init__(self, situation: Situation) -> None:
        self.packet = situation.own
        self.concerns = self._may_match
        self.unknown: list[str] = []
        """The rules of which it is not known whether they match."""
        self.ttl, self.ttl_by = situation.packet.ttl, situation.packet.ttl_by
        self.zoned = ""
        """A rule that puts the connection into another zone than those without one."""
        self.unknown_ttl = ""
        """A rule of which it is not known whether it changes the TTL."""
        self._situation = situation
        self._is_mark_known = True

    def destination_of(self, action: Dnat) -> Backend:
        """The destination of a translated packet (nf_nat_redirect_ipv4)."""
        if action.address == HERE and self._situation.redirected_to:
            return Backend(self._situation.redirected_to, action.port or self.packet.port)
        return super().destination_of(action)

    def _may_match(self, step: Step) -> bool:
        return concerns_destination(self.packet, step) and self._state(step) is not False

    def _state(self, step: Step) -> bool | None:
        """Whether the conditions on the connection's state match; None if that is not known."""
        here = self._situation
        if asks_for_connection(step.text):
            if here.state and (found := state_matches(step.text, here.state)) is not None:
                return found
            if not here.is_tracked:
                return None if step.never or not step.first or step.later is not True else True
        return self._of_answer(step) if here.packet.is_answer else self._of_first(step)

    def _of_first(self, step: Step) -> bool | None:
        here = self._situation
        if REVERSE_PATH in step.text and here.is_back is False:
            return None
        return step.first if here.is_translated else not step.never

    def _of_answer(self, step: Step) -> bool | None:
        here = self._situation
        if step.later and step.never and step.first and not here.is_translated:
            # `--ctstate DNAT` matches later packets of translated connections only.
            return any(each in step.text for each in TRACKED_STATES)
        if step.later is None:
            return answer_matches(step.text, here.packet, is_back=here.is_back)
        return step.later

    def split(self, step: Step, flows: Flows) -> tuple[Flows, Flows]:
        """Both ways where it is not known whether the step matches."""
        if self._is_overlooked(step):
            return [], flows
        answers = [self._matches(each) for each in step.sources]
        # Nobody is remembered as a client of a backend yet.
        if False in answers or step.recalls or not step.actions:
            if False not in answers and not step.actions:
                self._note_ttl(step, flows, is_sure=None not in answers)
            self._restore(step)
            return [], flows
        is_known = self._is_mark_known or not step.marks
        is_sure = None not in answers and self._state(step) is not None and is_known
        if not is_known:
            self.unknown.append(step.text)
            return flows, flows
        matched, others = split_by_mark(step, flows, is_sure=is_sure)
        if matched and not is_sure:
            self.unknown.append(step.text)
        self._restore(step)
        if step.probability == 1.0 or not is_sure:
            return matched, others
        hit = [replace(each, weight=each.weight * step.probability) for each in matched]
        missed = [replace(each, weight=each.weight * (1 - step.probability)) for each in matched]
        return hit, [*others, *missed]

    def _is_overlooked(self, step: Step) -> bool:
        """Whether the rule refuses packets and counts as absent; lines begin with its table."""
        return any(
            line == step.text or line.endswith(f": {step.text}")
            for line in self._situation.overlooked
        )

    def _note_ttl(self, step: Step, flows: Flows, *, is_sure: bool) -> None:
        """A rule that sets the TTL or a zone has no other effect on the packet's way here."""
        if SETS_ZONE.search(step.text):
            self.zoned = step.text
        found = SETS_TTL.search(step.text)
        matched, others = split_by_mark(step, flows, is_sure=True) if found else ([], flows)
        if not matched or found is None:
            return
        is_sure = is_sure and self._state(step) is True and step.probability == 1.0
        if others or not is_sure:
            self.unknown_ttl = step.text
        self.ttl, self.ttl_by = int(found.group(1)), step.text

    def _restore(self, step: Step) -> None:
        """After a rule that copies the connection's mark, an answer's mark is not known."""
        if step.restores_mark and self._situation.packet.is_answer:
            self._is_mark_known = False

    def _matches(self, test: SourceTest) -> bool | None:
        here, answer = self._situation, None
        match test.kind:
            case "network":
                answer = any(_within(here.packet.source, each) for each in test.value.split(","))
            case "local":
                answer = here.is_from_here
            case "set":
                return here.sets.matches(test.value, here.packet)
            case "packet":
                answer = source_port_matches(test.value, here.packet)
            case kind if kind in (IN, OUT):
                device = here.iif if kind == IN else here.oif
                answer = bool(device) and test.names_device(device)
        return answer if answer is None else answer is not test.negated


def _within(where: IPAddress, text: str) -> bool:
    wanted = network(text)
    return where.version == wanted.version and where in wanted
