"""The MAC that the IP layer sends to: an entry of the neighbour table, or who answers ARP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from wirecheck.addresses import IPAddress
from wirecheck.node.netns import Interface
from wirecheck.node.route_conflicts import UNRESOLVED
from wirecheck.paths.arp import arp_answer
from wirecheck.paths.arp_rules import past_arp_rules
from wirecheck.paths.discovery import past_discovery_rules, source_of_question
from wirecheck.paths.journey import Journey, Learned
from wirecheck.paths.packet import Segment
from wirecheck.paths.place import Place, World
from wirecheck.paths.route import source_on

USABLE = frozenset({"REACHABLE", "STALE", "DELAY", "PROBE", "PERMANENT"})
WIRES = frozenset({"", "veth", "bond", "vlan", "macvlan", "ipvlan", "team"})
"""Kinds of devices that may lead out of what was seen of a node."""


@dataclass(frozen=True)
class Resolved:
    """The MAC of a neighbour."""

    mac: str = ""
    text: str = ""
    lines: tuple[str, ...] = ()
    refused: str = ""
    unknown: str = ""
    doubts: tuple[str, ...] = ()
    learned: frozenset[Learned] = frozenset()
    """What who was asked has learned."""


def lasting_state(state: str) -> str:
    """The state of an entry; one word for those between which a usable entry changes by itself."""
    return "usable" if state in USABLE and state != "PERMANENT" else state


def resolved(world: World, device: Interface, where: IPAddress, journey: Journey) -> Resolved:
    """The MAC that the packet of the journey gets for a neighbour on a device."""
    place, source = journey.at.place, journey.packet.source
    known = place.neighbour(device, where)
    is_permanent = known is not None and known[1] == "PERMANENT"
    for each in () if is_permanent else journey.learned:
        if (each.netns, each.device, each.address) == (place.key, device.index, where):
            text = f"{where} is at {each.mac}, learned from its question"
            return Resolved(each.mac, text, learned=journey.learned)
    if known and known[0] and known[1] in USABLE:
        line = f"{where} dev {device.name} lladdr {known[0]} {known[1]}"
        return Resolved(known[0], f"{where} is at {known[0]}", (line,))
    lines = (f"{where} dev {device.name} {known[1]}",) if known else ()
    if device.link.kind == "vxlan":
        why = f"no neighbour entry for {where} on {device.name}"
        has_default = any(
            each.index == device.index and not each.mac.strip("0:")
            for each in place.netns.record.fdb
        )
        if has_default:
            return Resolved(unknown=f"{why}: it is flooded through the tunnel", lines=lines)
        return Resolved(refused=why, lines=lines)
    # An own source is the asker's (arp_announce is 0); the kernel chooses one for others.
    asker = source if place.has(source) else source_on(place, device, where)
    if where.version == 6:
        asker = source_of_question(place, device, source)
    return _asked(world, (place, device), where, asker, lines)


def _asked(
    world: World,
    from_: tuple[Place, Interface],
    where: IPAddress,
    asker: IPAddress | None,
    lines: tuple[str, ...],
) -> Resolved:
    """What the devices on the same link answer."""
    unseen: list[str] = []
    answering: list[tuple[Place, Interface]] = []
    others: list[tuple[str, str]] = []
    doubts: list[str] = []
    # Its own entry may show that the kernel has asked, and that nobody has answered.
    entry = from_[0].neighbour(from_[1], where)
    is_unanswered = entry is not None and entry[1] in UNRESOLVED
    for each in reached_from(world, *from_, where):
        if isinstance(each, str):
            unseen.append(each)
            continue
        there, receiver = each
        answer = arp_answer(there, receiver, where, asker)
        if answer.is_given and where.version == 4:
            answer = past_arp_rules(answer, from_, each, Segment(asker or where, where, "arp", 0))
        elif answer.is_given and asker is not None:
            answer = past_discovery_rules(answer, from_, each, where, asker)
        doubts += [answer.unknown] if answer.unknown else []
        unseen += [answer.open] if answer.open and not is_unanswered else []
        if answer.is_given:
            answering.append(each)
        elif answer.refused:
            others.append((f"{there.name} on {there.node} {answer.refused}", answer.line))
    if answering:
        found = _answered(answering, where, lines, tuple(doubts))
        there, receiver = answering[0]
        mac = from_[1].link.mac
        known = [Learned(there.key, receiver.index, asker, mac)] if asker and found.mac else []
        return replace(found, learned=frozenset(known))
    if unseen:
        return Resolved(unknown=unseen[0], lines=lines)
    nobody = (f"nobody on {from_[1].name} has the address {where}", "")
    why, line = next(iter(others), nobody)
    return Resolved(refused=why, lines=(*lines, line) if line else lines)


def _answered(
    answering: list[tuple[Place, Interface]],
    where: IPAddress,
    lines: tuple[str, ...],
    doubts: tuple[str, ...],
) -> Resolved:
    """The MAC of who answers; with several of them the kernel takes one or the other."""
    if len({receiver.link.mac for _, receiver in answering}) > 1:
        names = " and ".join(sorted({there.name for there, _ in answering}))
        return Resolved(unknown=f"{names} have the address {where}", lines=lines)
    there, receiver = answering[0]
    mac = receiver.link.mac
    text = f"{there.name} on {there.node} answers ARP for {where} with {mac}"
    return Resolved(mac, text, lines, doubts=doubts)


def reached_from(
    world: World, place: Place, device: Interface, where: IPAddress
) -> Iterator[tuple[Place, Interface] | str]:
    """The devices that get a question for an address which is sent by the device.

    A sentence stands for what was not seen. Of other nodes, only the one that has the address in
    the API is asked.
    """
    if device.is_bridge:
        for port in place.ports_of(device):
            yield from _behind(world, place, port, where)
        return
    peer = place.peer_of(device)
    if peer is None:
        yield from _on_wire(world, place, where)
        return
    there, other = peer
    bridge = there.netns.master_of(other)
    if bridge is None:
        yield there, other
        return
    yield there, bridge
    for port in there.ports_of(bridge):
        if port.index != other.index:
            yield from _behind(world, there, port, where)


def _behind(
    world: World, place: Place, port: Interface, where: IPAddress
) -> Iterator[tuple[Place, Interface] | str]:
    peer = place.peer_of(port)
    if peer is None and port.is_paired:
        yield f"what is behind port {port.name} of {place.node} was not seen"
    elif peer is None:
        yield from _on_wire(world, place, where)
    elif peer[1].link.master is None:
        yield peer
    else:
        yield f"port {port.name} of {place.node} leads to another bridge"


def _on_wire(
    world: World, place: Place, where: IPAddress
) -> Iterator[tuple[Place, Interface] | str]:
    """The uplink of another node: what is between the nodes is not seen."""
    name = world.node_with(where)
    if not name or name == place.node:
        yield f"what is beyond the devices of {place.node} was not seen"
        return
    machine = world.visited(name)
    if isinstance(machine, str):
        yield machine
        return
    found = [each for each in machine.host.netns.interfaces if where in each.addresses]
    yield from ((machine.host, each) for each in found)


def is_wire(place: Place, device: Interface) -> bool:
    """Whether the device leads out of what was seen of the node."""
    is_known = place.peer_of(device) is not None
    return place.is_host and device.link.kind in WIRES and not is_known
