"""The MAC that the IP layer sends to: an entry of the neighbour table, or who answers ARP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wirecheck.addresses import IPAddress
from wirecheck.node.netns import Interface
from wirecheck.paths.place import Place, World
from wirecheck.paths.source_check import device_setting

USABLE = frozenset({"REACHABLE", "STALE", "DELAY", "PROBE", "PERMANENT"})
NO_REPLY, ONLY_ON_DEVICE = 8, 1
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


def resolved(world: World, place: Place, device: Interface, where: IPAddress) -> Resolved:
    """The MAC that packets to a neighbour on a device get."""
    known = place.neighbour(device, where)
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
    return _asked(world, place, device, where, lines)


def _asked(
    world: World, place: Place, device: Interface, where: IPAddress, lines: tuple[str, ...]
) -> Resolved:
    """What the devices on the same link answer."""
    answers, doubts = [], []
    for there, receiver in reached_from(world, place, device):
        if not there.has(where):
            continue
        answer, doubt = _answers(there, receiver, where)
        doubts += [doubt] if doubt else []
        if answer:
            answers.append((there, receiver))
        else:
            why = f"{there.name} on {there.node} does not answer ARP for {where} (arp_ignore)"
            return Resolved(refused=why, lines=lines)
    if not answers:
        return Resolved(refused=f"nobody on {device.name} has the address {where}", lines=lines)
    if len({receiver.link.mac for _, receiver in answers}) > 1:
        names = " and ".join(sorted(f"{there.name}" for there, _ in answers))
        return Resolved(unknown=f"{names} both have the address {where}", lines=lines)
    there, receiver = answers[0]
    text = f"{there.name} on {there.node} answers ARP for {where} with {receiver.link.mac}"
    return Resolved(receiver.link.mac, text, lines, doubts=tuple(doubts))


def _answers(there: Place, receiver: Interface, where: IPAddress) -> tuple[bool, str]:
    """Whether the netns answers ARP, and what is not known about that."""
    if where.version == 6:
        return True, ""
    ignore = device_setting(there, "arp_ignore", receiver)
    if ignore is None:
        return True, f"arp_ignore of {receiver.name} in {there.name} on {there.node} was not read"
    if ignore >= NO_REPLY:
        return False, ""
    return ignore < ONLY_ON_DEVICE or where in receiver.addresses, ""


def reached_from(
    world: World, place: Place, device: Interface
) -> Iterator[tuple[Place, Interface]]:
    """The devices with an IP layer that get a broadcast sent by the device."""
    if device.is_bridge:
        for port in place.ports_of(device):
            yield from _behind(world, place, port)
        return
    peer = place.peer_of(device)
    if peer is None:
        yield from _on_wire(world, place)
        return
    there, other = peer
    bridge = there.netns.master_of(other)
    if bridge is None:
        yield there, other
        return
    yield there, bridge
    for port in there.ports_of(bridge):
        if port.index != other.index:
            yield from _behind(world, there, port)


def _behind(world: World, place: Place, port: Interface) -> Iterator[tuple[Place, Interface]]:
    peer = place.peer_of(port)
    if peer is not None and peer[1].link.master is None:
        yield peer
    elif peer is None and is_wire(place, port):
        yield from _on_wire(world, place)


def _on_wire(world: World, place: Place) -> Iterator[tuple[Place, Interface]]:
    """The uplinks of other nodes: what is between the nodes is not seen."""
    for name in world.cluster.machines - {place.node}:
        machine = world.visited(name)
        if not isinstance(machine, str):
            for each in machine.host.netns.interfaces:
                if each.addresses & machine.seen.addresses:
                    yield machine.host, each


def is_wire(place: Place, device: Interface) -> bool:
    """Whether the device leads out of what was seen of the node."""
    is_known = place.peer_of(device) is not None
    return place.is_host and device.link.kind in WIRES and not is_known
