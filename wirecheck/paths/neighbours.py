"""The MAC that the IP layer sends to: an entry of the neighbour table, or who answers ARP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wirecheck.addresses import IPAddress
from wirecheck.node.netns import Interface
from wirecheck.paths.place import Place, World
from wirecheck.paths.source_check import device_setting, setting

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
    unseen: list[str] = []
    answering: list[tuple[Place, Interface]] = []
    others: list[str] = []
    doubts: list[str] = []
    for each in reached_from(world, place, device, where):
        if isinstance(each, str):
            unseen.append(each)
            continue
        there, receiver = each
        answer, doubt = _answers(there, receiver, where)
        doubts += [doubt] if doubt else []
        if answer:
            answering.append(each)
        elif there.has(where):
            others.append(f"{there.name} on {there.node} answers no ARP for {where} (arp_ignore)")
        elif _answers_for_others(there, receiver):
            unseen.append(f"{receiver.name} of {there.node} may answer for {where} (proxy_arp)")
    if answering:
        return _answered(answering, where, lines, tuple(doubts))
    if unseen:
        return Resolved(unknown=unseen[0], lines=lines)
    why = next(iter(others), f"nobody on {device.name} has the address {where}")
    return Resolved(refused=why, lines=lines)


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


def _answers_for_others(there: Place, receiver: Interface) -> bool:
    paths = (f"net/ipv4/conf/{each}/proxy_arp" for each in ("all", receiver.name))
    return any(setting(there, each) not in (None, "0") for each in paths)


def _answers(there: Place, receiver: Interface, where: IPAddress) -> tuple[bool, str]:
    """Whether the netns answers ARP, and what is not known about that."""
    if not there.has(where):
        return False, ""
    if where.version == 6:
        return True, ""
    ignore = device_setting(there, "arp_ignore", receiver)
    if ignore is None:
        return True, f"arp_ignore of {receiver.name} in {there.name} on {there.node} was not read"
    if ignore >= NO_REPLY:
        return False, ""
    return ignore < ONLY_ON_DEVICE or where in receiver.addresses, ""


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
