"""The IP layer of one netns: sending, receiving, forwarding and delivering."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from wirecheck.dataplane.iptables.base_chains import FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING
from wirecheck.node.netns import Interface
from wirecheck.node.rule_selectors import Origin
from wirecheck.paths.frames import past_device
from wirecheck.paths.ipsec import under_policies
from wirecheck.paths.ipvs import AT_INPUT, AT_OUTPUT, has_virtual_servers, scheduled
from wirecheck.paths.ipvs import STAGE as IPVS
from wirecheck.paths.journey import Arrives, Bridged, Journey, Leaves, Received, Sends
from wirecheck.paths.netfilter import is_over, through_hook
from wirecheck.paths.packet import TTL
from wirecheck.paths.place import Place
from wirecheck.paths.route import Decision
from wirecheck.paths.routed import (
    ROUTING,
    connected,
    device_of,
    first_routed,
    routed,
    routed_by_destination,
    with_source,
)
from wirecheck.paths.sockets import connecting
from wirecheck.paths.source_check import setting, source_check
from wirecheck.paths.unread import unread_in

BRIDGE_CALLS = {
    4: "net/bridge/bridge-nf-call-iptables",
    6: "net/bridge/bridge-nf-call-ip6tables",
}


def sent(journey: Journey, at: Sends) -> Iterator[Journey]:
    """A process of the netns sends the packet: it is routed, and again after a translation."""
    for each in connecting(_entered(journey, at.place)):
        yield from [each] if is_over(each) else _sent(each, at.place)


def _sent(journey: Journey, place: Place) -> Iterator[Journey]:
    for first, towards in first_routed(journey, place):
        each, decision = connected(journey, with_source(first, place, towards), towards)
        if is_over(each):
            yield each
            continue
        if has_virtual_servers(place, each.packet):
            yield from _past_virtual_servers(each, place, decision)
            continue
        for out in through_hook(each, OUTPUT, out=device_of(place, decision)):
            yield from _past_output(each, out, place, decision)


def _past_output(
    before: Journey, journey: Journey, place: Place, decision: Decision
) -> Iterator[Journey]:
    """Behind the rules of OUTPUT: what they changed is routed again."""
    if is_over(journey):
        yield journey
    elif _is_rerouted(before, journey):
        for again, second in routed(journey, Origin()):
            yield from _leaving(again, place, second, is_own=True)
    else:
        yield from _leaving(journey, place, decision, is_own=True)


def _past_virtual_servers(journey: Journey, place: Place, decision: Decision) -> Iterator[Journey]:
    """OUTPUT with IPVS behind its table nat."""
    device = device_of(place, decision)
    for out in through_hook(journey, OUTPUT, out=device, until=AT_OUTPUT):
        if is_over(out):
            yield out
        elif taken := [*scheduled(out)]:
            here = partial(_rest_of_output, place=place, decision=decision)
            yield from _to_real_servers(taken, place, here)
        else:
            for rest in through_hook(out, OUTPUT, out=device, since=AT_OUTPUT):
                yield from _past_output(journey, rest, place, decision)


def _to_real_servers(
    taken: Iterable[Journey], place: Place, here: Callable[[Journey], Iterator[Journey]]
) -> Iterator[Journey]:
    """The ways on of what IPVS has taken; `here` is that to a real server of the node itself."""
    for each in taken:
        for on, decision in _sent_on(each):
            if decision.is_local and not is_over(on):
                yield from here(each)
            else:
                yield from _as_own(on, place, decision)


def _rest_of_output(journey: Journey, place: Place, decision: Decision) -> Iterator[Journey]:
    """A real server of the node itself: the packet goes on as it was routed (RTCF_LOCAL)."""
    device = device_of(place, decision)
    for rest in through_hook(journey, OUTPUT, out=device, since=AT_OUTPUT):
        yield from [rest] if is_over(rest) else _leaving(rest, place, decision, is_own=True)


def _sent_on(journey: Journey) -> Iterator[tuple[Journey, Decision]]:
    """The routes by which IPVS sends a packet to its real server; it asks for no source or mark."""
    if is_over(journey):
        yield journey, Decision(())
        return
    packet = journey.packet
    for on, decision in routed_by_destination(journey):
        if is_over(on) or decision.is_local:
            yield on, decision
        elif packet.source.is_loopback:
            yield on.dies(IPVS, f"packets from {packet.source} do not leave the node"), decision
        elif packet.ttl <= 1:
            lines = filter(None, (packet.ttl_by,))
            yield on.dies(IPVS, "its TTL has run out", *lines), decision
        else:
            yield replace(on, packet=replace(packet, ttl=packet.ttl - 1)), decision


def _as_own(journey: Journey, place: Place, decision: Decision) -> Iterator[Journey]:
    """What IPVS sends to another netns meets OUTPUT like a packet of the node."""
    if is_over(journey):
        yield journey
        return
    for out in through_hook(journey, OUTPUT, out=device_of(place, decision)):
        yield from _past_output(journey, out, place, decision)


def arrived(journey: Journey, at: Arrives) -> Iterator[Journey]:
    """A device of the netns hands the packet to the IP layer."""
    place, device = at.place, at.device
    journey = past_device(_entered(journey, place), device, "ingress")
    if is_over(journey):
        yield journey
        return
    for each in through_hook(journey, PREROUTING, iif=device.name):
        if is_over(each):
            yield each
            continue
        origin = Origin(each.packet.source, device.name, each.packet.mark)
        is_moved = each.packet.destination != journey.packet.destination
        for on, decision in routed(each, origin):
            if is_moved and not is_over(on) and _stays_in_bridge(at, each, decision):
                neighbour = decision.neighbour or each.packet.destination
                yield replace(on, at=Bridged(place, device, at.port or device, neighbour))
            else:
                yield from _received(on, place, device, decision)


def _stays_in_bridge(at: Arrives, journey: Journey, decision: Decision) -> bool:
    """Whether a translated frame goes on in the bridge: br_nf_pre_routing_finish."""
    if at.port is None or decision.is_local or decision.device is None:
        return False
    is_called = setting(at.place, BRIDGE_CALLS[journey.packet.family]) == "1"
    return is_called and decision.device.index == at.device.index


def _entered(journey: Journey, place: Place) -> Journey:
    doubts = [*unread_in(place)]
    if place.is_host:
        doubts += place.machine.hooks.unread
    return journey.doubting(*doubts)


def _is_rerouted(before: Journey, after: Journey) -> bool:
    one, other = before.packet, after.packet
    return (one.destination, one.mark, one.source) != (other.destination, other.mark, other.source)


def _leaving(
    journey: Journey, place: Place, decision: Decision, *, is_own: bool = False
) -> Iterator[Journey]:
    """POSTROUTING, and the device; a local destination is reached by lo."""
    if is_over(journey):
        yield journey
        return
    device = device_of(place, decision)
    if device is None:
        yield journey.undecided(ROUTING, "the netns has no loopback device", *decision.lines)
        return
    journey = under_policies(journey, "out", POSTROUTING)
    if is_over(journey):
        yield journey
        return
    for each in through_hook(journey, POSTROUTING, out=device, via=decision.neighbour):
        if is_over(each):
            yield each
            continue
        neighbour = decision.neighbour or each.packet.destination
        yield replace(each, at=Leaves(place, device, neighbour, is_own))


def _received(
    journey: Journey, place: Place, device: Interface, decision: Decision
) -> Iterator[Journey]:
    """After routing: the source is checked, and the packet is delivered or forwarded."""
    if is_over(journey):
        yield journey
        return
    check = source_check(place, journey.packet, device)
    if check.refused:
        journey = journey.refused("source check", check.refused)
    if is_over(journey):
        yield journey
    elif check.unknown:
        yield journey.undecided("source check", check.unknown)
    elif decision.is_local:
        yield from _delivered(journey, place, device)
    else:
        yield from _forwarded(journey, place, device, decision)


def _delivered(journey: Journey, place: Place, device: Interface) -> Iterator[Journey]:
    if not has_virtual_servers(place, journey.packet):
        yield from _into_socket(through_hook(journey, INPUT, iif=device.name), place)
        return
    for each in through_hook(journey, INPUT, iif=device.name, until=AT_INPUT):
        here = partial(_rest_of_input, place=place, device=device)
        if is_over(each):
            yield each
        elif taken := [*scheduled(each)]:
            yield from _to_real_servers(taken, place, here)
        else:
            yield from here(each)


def _rest_of_input(journey: Journey, place: Place, device: Interface) -> Iterator[Journey]:
    rest = through_hook(journey, INPUT, iif=device.name, since=AT_INPUT)
    yield from _into_socket(rest, place)


def _into_socket(journeys: Iterable[Journey], place: Place) -> Iterator[Journey]:
    for each in journeys:
        after = each if is_over(each) else under_policies(each, "in", INPUT)
        yield after if is_over(after) else replace(after, at=Received(place))


def _forwarded(
    journey: Journey, place: Place, device: Interface, decision: Decision
) -> Iterator[Journey]:
    stage = "forwarding"
    name = f"net/ipv{journey.packet.family}/conf/{device.name}/forwarding"
    value = setting(place, name)
    if value is None:
        yield journey.undecided(stage, f"sysctl {name} was not read")
        return
    if value == "0":
        why = f"{place.name} does not forward packets that come in by {device.name}"
        journey = journey.refused(stage, why, f"{name} = 0")
    packet = journey.packet
    if packet.ttl <= 1 and not is_over(journey):
        why = "its TTL has run out"
        journey = journey.refused(stage, why, *filter(None, (packet.ttl_by,)))
        packet = replace(packet, ttl=TTL)
    if is_over(journey):
        yield journey
        return
    journey = replace(journey, packet=replace(packet, ttl=packet.ttl - 1))
    journey = under_policies(journey, "fwd", FORWARD)
    if is_over(journey):
        yield journey
        return
    for each in through_hook(journey, FORWARD, iif=device.name, out=decision.device):
        if is_over(each):
            yield each
        else:
            yield from _leaving(each, place, decision)
