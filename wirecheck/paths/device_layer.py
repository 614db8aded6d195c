"""From device to device: neighbours, veth pairs, bridges, tunnels, and the wire between nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.service import cluster_ips
from wirecheck.node.netns import Interface
from wirecheck.paths.frames import past_device
from wirecheck.paths.journey import (
    Arrives,
    Carried,
    Frame,
    Journey,
    Leaves,
    Result,
    Sends,
    Switched,
)
from wirecheck.paths.mtu import VXLAN, received_by, received_from_wire, sent_by
from wirecheck.paths.neighbours import is_wire, resolved
from wirecheck.paths.netfilter import is_over
from wirecheck.paths.packet import Segment
from wirecheck.paths.place import Place, World

VXLAN_PORT = 4789
LEAVING = "it leaves the node"
"""How reasons begin of packets that leave what was seen of the cluster."""


def left(world: World, journey: Journey, at: Leaves) -> Iterator[Journey]:
    """The IP layer hands the packet to a device, which needs the neighbour's MAC."""
    place, device = at.place, at.device
    if "LOOPBACK" in device.link.flags:
        yield replace(journey, at=Arrives(place, device))
        return
    journey = past_device(_linked(journey, device), device, "egress")
    if not is_over(journey):
        journey = sent_by(journey, device, is_own=at.is_own)
    if is_over(journey):
        yield journey
        return
    stage = f"neighbour on {device.name}"
    if not _is_followed(place, device):
        kind = device.link.kind or "hardware"
        yield journey.undecided(stage, f"devices of kind {kind} are not followed")
        return
    if is_wire(place, device) and not world.node_with(at.neighbour):
        yield _outside(world, journey, device, at.neighbour)
        return
    found = resolved(world, device, at.neighbour, journey)
    journey = replace(journey.doubting(*found.doubts), learned=journey.learned | found.learned)
    if found.refused:
        yield journey.dies(stage, found.refused, *found.lines)
    elif found.unknown:
        yield journey.undecided(stage, found.unknown, *found.lines)
    else:
        frame = Frame(place, device, found.mac, at.neighbour)
        yield journey.to(frame, stage, found.text, *found.lines)


def _is_followed(place: Place, device: Interface) -> bool:
    kind = device.link.kind
    is_pair = kind == "veth" and place.peer_of(device) is not None
    return is_pair or kind in ("bridge", "vxlan") or is_wire(place, device)


def _linked(journey: Journey, device: Interface) -> Journey:
    """The journey if the device is up and has a carrier."""
    if not device.is_up:
        return journey.dies(f"device {device.name}", f"{device.name} is down")
    if "LOWER_UP" not in device.link.flags:
        return journey.dies(f"device {device.name}", f"{device.name} has no carrier")
    return journey


def _outside(world: World, journey: Journey, device: Interface, neighbour: IPAddress) -> Journey:
    where = f"by {device.name} to {neighbour} as {journey.packet}"
    if journey.packet.is_answer and _is_beyond(world, journey.packet.destination):
        left = journey.noted(f"device {device.name}", f"{LEAVING} {where}")
        return replace(left, result=Result.REACHES)
    why = f"{LEAVING} {where}; what is beyond is not seen"
    return journey.undecided(f"device {device.name}", f"{_misled(world, journey)}{why}")


def _is_beyond(world: World, where: IPAddress) -> bool:
    """Whether the address is outside of the cluster: neither a pod's nor a node's."""
    index = world.cluster.node_index
    is_known = world.pod_with(where) or world.node_with(where) or index.pod_range_with(where)
    return not is_known


def _misled(world: World, journey: Journey) -> str:
    """Why the packet should not leave the cluster; empty if its destination is outside."""
    packet, cluster = journey.packet, world.cluster
    for service in cluster.services.values():
        if str(packet.destination) in cluster_ips(service):
            name = f"{service.metadata.namespace}/{service.metadata.name}"
            return f"no rule translates {packet.target} of Service {name}: "
    if cluster.node_index.pod_range_with(packet.destination):
        return f"no node's route leads to {packet.destination}: "
    return ""


def framed(world: World, journey: Journey, at: Frame) -> Iterator[Journey]:
    """A device sends the frame to its other side."""
    place, device = at.place, at.device
    if device.is_bridge:
        yield replace(journey, at=Switched(place, device, None, at.mac, at.neighbour))
    elif device.link.kind == "vxlan":
        yield _tunnelled(journey, at)
    elif (peer := place.peer_of(device)) is not None:
        yield _crossed(journey, *peer, at.mac, at.neighbour)
    elif is_wire(place, device):
        yield _on_wire(world, journey, at)
    else:
        kind = device.link.kind or "hardware"
        why = f"devices of kind {kind} are not followed"
        yield journey.undecided(f"device {device.name}", why)


def _crossed(
    journey: Journey, there: Place, other: Interface, mac: str, neighbour: IPAddress
) -> Journey:
    """The frame at the other end of a veth pair."""
    came = journey.at
    if not other.is_up:
        return journey.dies("veth pair", f"{other.name}, the other end on {there.name}, is down")
    journey = received_by(journey, other)
    if is_over(journey):
        return journey
    if there.key != came.place.key:
        journey = _unmarked(journey)
    bridge = there.netns.master_of(other)
    if bridge is not None and bridge.is_bridge:
        return replace(journey, at=Switched(there, bridge, other, mac, neighbour))
    if other.link.master is not None:
        return journey.undecided("veth pair", f"{other.name} is a port of what is not a bridge")
    if mac and mac != other.link.mac:
        return _to_another(journey, there, other, mac)
    text = f"to {other.name} of {there.name}"
    stage = "bridge port" if isinstance(came, Switched) else "veth pair"
    return journey.to(Arrives(there, other), stage, text)


def _to_another(journey: Journey, there: Place, other: Interface, mac: str) -> Journey:
    """A frame for another MAC than the device has; old documents do not have those of all."""
    if not other.link.mac:
        return journey.undecided("veth pair", f"the MAC of {other.name} was not read")
    why = f"the frame is for {mac}, and {other.name} of {there.name} has {other.link.mac}"
    return journey.dies("veth pair", why, *_last_lines(journey))


def _unmarked(journey: Journey) -> Journey:
    """The packet in another netns: it loses its mark (skb_scrub_packet)."""
    return replace(journey, packet=replace(journey.packet, mark=0))


def _last_lines(journey: Journey) -> tuple[str, ...]:
    """The entry with the MAC of the frame."""
    found = [e for e in journey.hops if e.stage.startswith("neighbour")]
    return found[-1].lines if found else ()


def _on_wire(world: World, journey: Journey, at: Frame) -> Journey:
    """Between two nodes: what is there is known from probes only."""
    name = world.node_with(at.neighbour)
    machine = world.visited(name) if name else f"{at.neighbour} is not a node"
    if isinstance(machine, str):
        return journey.undecided("wire", machine)
    host = machine.host
    receiver = next((e for e in host.netns.interfaces if at.neighbour in e.addresses), None)
    if receiver is None:
        return journey.undecided("wire", f"no device of {name} has {at.neighbour}")
    is_permanent = any("PERMANENT" in line for line in _last_lines(journey))
    if is_permanent and at.mac != receiver.link.mac:
        why = f"the frame is for {at.mac}, and {receiver.name} of {name} has {receiver.link.mac}"
        return journey.dies("wire", why, *_last_lines(journey))
    if not receiver.is_up:
        return journey.dies("wire", f"{receiver.name} of {name} is down")
    journey = received_from_wire(_unmarked(journey), receiver)
    if is_over(journey):
        return journey
    return journey.to(Arrives(host, receiver), "wire", f"to {receiver.name} of {name}")


def _tunnelled(journey: Journey, at: Frame) -> Journey:
    """A VXLAN device wraps the frame; its FDB has the other end of the tunnel."""
    device, fdb = at.device, at.place.netns.record.fdb
    stage = f"FDB of {device.name}"
    ends = sorted(
        {
            each.destination
            for each in fdb
            if each.index == device.index and each.mac == at.mac and each.destination
        }
    )
    if not ends:
        return journey.dies(stage, f"no entry for {at.mac}: the tunnel has no other end")
    line = ", ".join(f"{at.mac} dst {each}" for each in ends)
    if len(ends) > 1:
        return journey.undecided(stage, "several entries for one MAC", line)
    link = device.link
    if not link.vxlan_id:
        return journey.undecided(stage, "the VNI is chosen by a route or program", line)
    to, length = address(ends[0]), journey.packet.length
    outer = Segment(
        address(link.vxlan_local) if link.vxlan_local else address("0.0.0.0"),
        to,
        "udp",
        link.vxlan_port or VXLAN_PORT,
        mark=journey.packet.mark,
        length=length + VXLAN[to.version] if length else 0,
    )
    inside = Carried(journey.packet, at.mac, link.vxlan_id)
    text = f"to {ends[0]} in UDP, VNI {link.vxlan_id}"
    on = journey.to(Sends(at.place), stage, text, line)
    return replace(on, packet=outer, carried=(*journey.carried, inside))


def unwrapped(journey: Journey, place: Place) -> Journey:
    """The tunnel's other end takes the packet out."""
    inside = journey.carried[-1]
    port, family = journey.packet.port, journey.packet.family
    devices = [
        each
        for each in place.netns.interfaces
        if each.link.kind == "vxlan" and each.link.vxlan_id == inside.vni
        # Each family has a socket of its own, and flannel has a device for each (vxlan_open).
        if not each.link.vxlan_local or address(each.link.vxlan_local).version == family
    ]
    device = next((e for e in devices if (e.link.vxlan_port or VXLAN_PORT) == port), None)
    if device is None:
        why = f"no VXLAN device with VNI {inside.vni} and port {port}"
        return journey.dies("tunnel", why)
    if not device.is_up:
        return journey.dies("tunnel", f"{device.name} is down")
    if device.link.mac != inside.mac:
        why = f"the frame is for {inside.mac}, and {device.name} has {device.link.mac}"
        return journey.dies("tunnel", why)
    on = journey.to(Arrives(place, device), "tunnel", f"unwrapped by {device.name}")
    # The mark stays on both ways: the netns is the same.
    inner = replace(inside.packet, mark=journey.packet.mark)
    return replace(on, packet=inner, carried=journey.carried[:-1])
