"""A frame in a bridge: port states, isolation, the forwarding database, and bridge netfilter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wirecheck.dataplane.iptables.base_chains import FORWARD, POSTROUTING, PREROUTING
from wirecheck.node.netns import Interface
from wirecheck.node.veth import PORT_STATES
from wirecheck.paths.frames import past_bridge, past_device
from wirecheck.paths.journey import Arrives, Bridged, Frame, Journey, Switched
from wirecheck.paths.mtu import received_by
from wirecheck.paths.neighbours import is_wire, resolved
from wirecheck.paths.netfilter import is_over, through_hook
from wirecheck.paths.place import Place, World
from wirecheck.paths.source_check import setting
from wirecheck.paths.unread import unread_of_bridge, unread_of_flooding, unread_of_port

FORWARDING = 3
CALLS = {4: "net/bridge/bridge-nf-call-iptables", 6: "net/bridge/bridge-nf-call-ip6tables"}


def in_bridge(world: World, journey: Journey, at: Switched | Bridged) -> Iterator[Journey]:
    """A frame in a bridge: one that came in or is sent, or one that was translated there."""
    return switched(journey, at) if isinstance(at, Switched) else bridged(world, journey, at)


def switched(journey: Journey, at: Switched) -> Iterator[Journey]:
    """The bridge takes the frame to its own IP layer, or to another port."""
    place, bridge, port = at.place, at.bridge, at.port
    stage = f"bridge {bridge.name}"
    journey = journey.doubting(*unread_of_bridge(place, bridge))
    if not bridge.is_up:
        yield journey.dies(stage, f"{bridge.name} is down")
        return
    if port is not None and (why := _closed(port)):
        yield journey.dies(stage, why)
        return
    if port is not None:
        journey = past_bridge(past_device(journey, port, "ingress"), "prerouting", iif=port.name)
    if is_over(journey):
        yield journey
        return
    if port is not None and _is_own(place, bridge, at.mac):
        text = f"from {port.name} to {bridge.name} itself"
        journey = past_bridge(journey, "input", iif=port.name)
        arrives = Arrives(place, bridge, port)
        yield journey if is_over(journey) else journey.to(arrives, stage, text)
        return
    yield from _to_port(journey, at)


def bridged(world: World, journey: Journey, at: Bridged) -> Iterator[Journey]:
    """A frame whose destination was translated; its ports are checked as those of any other."""
    place, bridge = at.place, at.bridge
    found = resolved(world, bridge, at.neighbour, journey)
    stage = f"neighbour on {bridge.name}"
    journey = journey.doubting(*found.doubts)
    if found.refused:
        yield journey.dies(stage, found.refused, *found.lines)
    elif found.unknown:
        yield journey.undecided(stage, found.unknown, *found.lines)
    else:
        on = journey.noted(stage, found.text, *found.lines)
        yield from _to_port(on, Switched(place, bridge, at.port, found.mac, at.neighbour, True))


def _to_port(journey: Journey, at: Switched) -> Iterator[Journey]:
    """The frame to the port that leads to its MAC."""
    place, bridge, port = at.place, at.bridge, at.port
    stage = f"bridge {bridge.name}"
    out, line = _port_of(place, bridge, at.mac)
    if out is None:
        if port is not None and _is_translated(journey, bridge):
            why = f"no port leads to {at.mac}, but rules change the destination first"
            yield journey.undecided(stage, why, *line)
        else:
            yield journey.dies(stage, f"no port leads to {at.mac}", *line)
        return
    if line and (why := _may_move(place, bridge, at.mac, out)):
        yield journey.undecided(stage, why, *line)
        return
    journey = _between(_flooded(journey, place, out, stage, line), place, port, out, stage)
    journey = _past_rules(journey, port, out)
    if is_over(journey):
        yield journey
        return
    ways: Iterable[Journey] = (journey,)
    if port is not None:
        ways = _filtered(journey, bridge, is_translated=at.is_translated)
    name = port.name if port else bridge.name
    for each in ways:
        frame = Frame(place, out, at.mac, at.neighbour)
        text = f"from {name} to {out.name}"
        yield each if is_over(each) else each.to(frame, stage, text, *line)


def _is_translated(journey: Journey, bridge: Interface) -> bool:
    """Whether rules would give the frame another destination, and so another MAC."""
    if setting(journey.at.place, CALLS[journey.packet.family]) != "1":
        return False
    before = journey.packet.destination
    ways = through_hook(journey, PREROUTING, iif=bridge.name)
    return any(each.packet.destination != before for each in ways)


def _past_rules(journey: Journey, port: Interface | None, out: Interface) -> Journey:
    """The journey past the rules and programs on the way to a port."""
    hook, name = ("forward", port.name) if port is not None else ("output", "")
    journey = past_bridge(journey, hook, iif=name, oif=out.name)
    journey = past_bridge(journey, "postrouting", oif=out.name)
    journey = journey if is_over(journey) else past_device(journey, out, "egress")
    return journey if is_over(journey) else received_by(journey, out)


def _closed(port: Interface) -> str:
    """Why the port passes no frames; empty if it does."""
    state = port.link.port_state
    if state is None or state == FORWARDING:
        return "" if port.is_up else f"port {port.name} is down"
    return f"port {port.name} is {PORT_STATES.get(state, f'in state {state}')}"


def _is_own(place: Place, bridge: Interface, mac: str) -> bool:
    """Whether the bridge takes frames for the MAC itself: it is its own, or a port's."""
    ports = {each.index for each in place.ports_of(bridge)} | {bridge.index}
    return mac == bridge.link.mac or any(
        each.mac == mac and each.state == "permanent" and each.index in ports
        for each in place.netns.record.fdb
    )


def _port_of(place: Place, bridge: Interface, mac: str) -> tuple[Interface | None, tuple[str, ...]]:
    """The port for a MAC, and the entry that says so; without one the frame is flooded."""
    ports = {each.index: each for each in place.ports_of(bridge)}
    for each in place.netns.record.fdb:
        if each.mac == mac and each.index in ports and each.state != "permanent":
            line = f"{mac} dev {ports[each.index].name} master {bridge.name} {each.state}".rstrip()
            return ports[each.index], (line,)
    for port, peer in _peers(place, bridge):
        if peer.link.mac == mac:
            return port, ()
    return next((port for port in ports.values() if is_wire(place, port)), None), ()


def _may_move(place: Place, bridge: Interface, mac: str, out: Interface) -> str:
    """Why the entry for a MAC may have moved; empty if it leads to who has the MAC, or stays.

    Without `sticky` it moves when a frame from the MAC comes in elsewhere (br_fdb_update).
    """
    owner = next((port for port, peer in _peers(place, bridge) if peer.link.mac == mac), None)
    if owner is None or owner.index == out.index:
        return ""
    entries = (e for e in place.netns.record.fdb if e.mac == mac and e.index == out.index)
    if any("sticky" in each.flags for each in entries):
        return ""
    return f"{mac} is behind {owner.name}: the entry moves there once that sends a frame"


def _peers(place: Place, bridge: Interface) -> Iterator[tuple[Interface, Interface]]:
    """The ports of a bridge with the other ends of their pairs."""
    for port in place.ports_of(bridge):
        if (peer := place.peer_of(port)) is not None:
            yield port, peer[1]


def _flooded(
    journey: Journey, place: Place, out: Interface, stage: str, line: tuple[str, ...]
) -> Journey:
    """The journey if the port gets frames for a MAC that the bridge does not know."""
    if line or is_wire(place, out):
        return journey
    if out.link.port_flooded is False:
        why = f"the bridge does not know the MAC, and floods nothing to {out.name}"
        return journey.dies(stage, why, f"{out.name} flood off")
    return journey if out.link.port_flooded else journey.doubting(*unread_of_flooding(place, out))


def _between(
    journey: Journey, place: Place, port: Interface | None, out: Interface, stage: str
) -> Journey:
    """The journey if frames may pass from one port to the other."""
    if is_over(journey):
        return journey
    if why := _closed(out):
        return journey.dies(stage, why)
    if port is None:
        return journey
    if port.index == out.index and out.link.port_hairpin is not True:
        return journey.dies(stage, f"the frame would leave by {out.name}, where it came in")
    journey = journey.doubting(*unread_of_port(place, port), *unread_of_port(place, out))
    if port.link.port_isolated and out.link.port_isolated:
        why = f"ports {port.name} and {out.name} are isolated from each other"
        return journey.refused(stage, why, f"{port.name} isolated on", f"{out.name} isolated on")
    return journey


def _filtered(journey: Journey, bridge: Interface, *, is_translated: bool) -> Iterator[Journey]:
    """With bridge-nf-call, frames between ports meet the IP hooks of the node.

    One whose destination was translated has met the first of them.
    """
    if setting(journey.at.place, CALLS[journey.packet.family]) != "1":
        yield journey
        return
    if is_translated:
        for second in _onward((journey,), FORWARD, bridge):
            yield from _onward((second,), POSTROUTING, bridge)
        return
    before = journey.packet
    for first in through_hook(journey, PREROUTING, iif=bridge.name):
        if not is_over(first) and first.packet.destination != before.destination:
            why = "a rule changes the destination of a frame between two ports"
            yield first.undecided(PREROUTING, why)
            continue
        for second in _onward((first,), FORWARD, bridge):
            yield from _onward((second,), POSTROUTING, bridge)


def _onward(ways: tuple[Journey, ...], hook: str, bridge: Interface) -> Iterator[Journey]:
    for each in ways:
        if is_over(each):
            yield each
        elif hook == FORWARD:
            yield from through_hook(each, hook, iif=bridge.name, out=bridge)
        else:
            yield from through_hook(each, hook, out=bridge)
