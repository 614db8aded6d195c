"""What packet filters do with IPv6 neighbour discovery.

Unlike ARP, its messages are IPv6 packets: they meet the rules of who asks and of who answers
(ndisc_send_skb, ip6_mc_input). Connection tracking leaves them untracked, and with any other hop
limit than 255 they are dropped (ndisc_rcv).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address
from typing import NamedTuple

from wirecheck.addresses import IPAddress, address
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.dataplane.iptables.base_chains import FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING
from wirecheck.node.netns import Interface
from wirecheck.node.rule_selectors import Origin
from wirecheck.parse.errors import ParseError
from wirecheck.paths.arp import ArpAnswer
from wirecheck.paths.filtering import Passed, through
from wirecheck.paths.later_packets import DISCOVERY
from wirecheck.paths.packet import Segment
from wirecheck.paths.place import Place
from wirecheck.paths.question import Situation
from wirecheck.paths.route import decisions
from wirecheck.paths.source_check import setting
from wirecheck.paths.states import UNTRACKED

SOLICITATION, ADVERTISEMENT = 135, 136
HOP_LIMIT = 255
SOLICITED = int(address("ff02::1:ff00:0"))
BRIDGE_CALLS = "net/bridge/bridge-nf-call-ip6tables"
End = tuple[Place, Interface]


class _Hook(NamedTuple):
    place: Place
    hook: str
    iif: str = ""
    oif: str = ""


def past_discovery_rules(
    answer: ArpAnswer, asker: End, answering: End, where: IPAddress, source: IPAddress
) -> ArpAnswer:
    """The answer, if the rules on the way let the question for `where` and the answer pass."""
    group = IPv6Address(SOLICITED | int(where) & 0xFFFFFF)
    question = Segment(source, group, DISCOVERY, SOLICITATION, ttl=HOP_LIMIT)
    reply = Segment(where, source, DISCOVERY, ADVERTISEMENT, ttl=HOP_LIMIT)
    hooks = (question, _hooks(asker, answering)), (reply, _hooks(answering, asker))
    for packet, met in hooks:
        if found := _stopped(packet, met):
            return found
    return answer


def source_of_question(place: Place, device: Interface, source: IPAddress) -> IPAddress | None:
    """The source of a question: the packet's own if the device has it, or the link-local one."""
    if source in device.addresses:
        return source
    return next(
        (
            address(each.address)
            for each in place.netns.record.addresses
            if each.index == device.index and each.scope == "link" and ":" in each.address
        ),
        None,
    )


def _hooks(sender: End, receiver: End) -> Iterator[_Hook]:
    (place, device), (there, other) = sender, receiver
    yield from (_Hook(place, hook, oif=device.name) for hook in (OUTPUT, POSTROUTING))
    if (peer := place.peer_of(device)) and (bridge := peer[0].netns.master_of(peer[1])):
        is_end = (peer[0].key, bridge.index) == (there.key, other.index)
        if not is_end and setting(peer[0], BRIDGE_CALLS) == "1":
            yield from _through_bridge(peer[0], bridge.name)
    yield from (_Hook(there, hook, iif=other.name) for hook in (PREROUTING, INPUT))


def _through_bridge(place: Place, bridge: str) -> Iterator[_Hook]:
    """Frames between ports meet the IP hooks of the node, with bridge-nf-call."""
    yield _Hook(place, PREROUTING, iif=bridge)
    yield _Hook(place, FORWARD, iif=bridge, oif=bridge)
    yield _Hook(place, POSTROUTING, oif=bridge)


def _stopped(packet: Segment, hooks: Iterator[_Hook]) -> ArpAnswer | None:
    """What stops one message, or may stop it; None if it arrives."""
    for at in hooks:
        found = _through(packet, at)
        where = f"{at.hook} of {at.place.name} on {at.place.node}"
        if found.refused:
            why = f"does not answer: neighbour discovery is {found.refused} in {where}"
            return ArpAnswer(refused=why, line=found.lines[-1] if found.lines else "")
        if found.unknown:
            why = f"neighbour discovery in {where}: {found.unknown}"
            return ArpAnswer(is_given=True, unknown=why)
        packet = found.packet
    if packet.ttl == HOP_LIMIT:
        return None
    why = f"does not answer: neighbour discovery with a hop limit of {packet.ttl} is dropped"
    return ArpAnswer(refused=why, line=packet.ttl_by)


def _through(packet: Segment, at: _Hook) -> Passed:
    situation = Situation(
        packet,
        at.iif,
        at.oif,
        at.place.has(packet.destination),
        at.place.has(packet.source),
        is_tracked=False,
        state=UNTRACKED,
        is_before_tracking=at.hook in (PREROUTING, OUTPUT),
        sets=at.place.hooks.sets,
    )
    try:
        ways = through(at.place.hooks.stages(at.hook, 6), situation)
    except (FactMissingError, NotApplicable, ParseError) as error:
        return Passed(packet, unknown=str(error))
    if len(ways) > 1:
        return replace(ways[0], unknown="its rules choose at random")
    is_marked = at.hook == OUTPUT and ways[0].packet.mark != packet.mark
    return _rerouted(ways[0], at) if is_marked else ways[0]


def _rerouted(way: Passed, at: _Hook) -> Passed:
    """What a rule marks is routed again (ip6t_mangle_out)."""
    if way.is_over or way.packet.destination.is_multicast:
        return way
    packet = way.packet
    origin = Origin(source=packet.source, mark=packet.mark)
    for each in decisions(at.place, packet, origin):
        if each.refused:
            return replace(way, refused="refused by a route", lines=each.lines)
        if each.unknown or each.device is None or each.device.name != at.oif:
            return replace(way, unknown="a mark gives it another route", lines=each.lines)
    return way
