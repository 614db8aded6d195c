"""The IP layer of one netns: sending, receiving, forwarding and delivering."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wirecheck.dataplane.iptables.base_chains import FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING
from wirecheck.node.netns import Interface
from wirecheck.node.rule_selectors import Origin
from wirecheck.paths.frames import past_device
from wirecheck.paths.ipsec import under_policies
from wirecheck.paths.ipvs import virtual_server
from wirecheck.paths.journey import Arrives, Bridged, Journey, Leaves, Received, Sends
from wirecheck.paths.netfilter import is_over, through_hook
from wirecheck.paths.packet import TTL
from wirecheck.paths.place import Place
from wirecheck.paths.route import Decision, decisions, source_on
from wirecheck.paths.source_check import setting, source_check
from wirecheck.paths.unread import unread_in

ROUTING, IPVS = "routing", "IPVS"
BRIDGE_CALLS = {
    4: "net/bridge/bridge-nf-call-iptables",
    6: "net/bridge/bridge-nf-call-ip6tables",
}


def sent(journey: Journey, at: Sends) -> Iterator[Journey]:
    """A process of the netns sends the packet: it is routed, and again after a translation."""
    place = at.place
    journey = _entered(journey, place)
    for first, towards in _routed(journey, Origin()):
        each, decision = _connected(journey, _with_source(first, place, towards), towards)
        if is_over(each):
            yield each
            continue
        for out in through_hook(each, OUTPUT, out=_device(place, decision)):
            if is_over(out):
                yield out
            elif virtual := virtual_server(place, out.packet):
                yield out.undecided(IPVS, "what IPVS does with it is not followed", virtual)
            elif _is_rerouted(each, out):
                for again, second in _routed(out, Origin()):
                    yield from _leaving(again, place, second, is_own=True)
            else:
                yield from _leaving(out, place, decision, is_own=True)


def _connected(before: Journey, journey: Journey, decision: Decision) -> tuple[Journey, Decision]:
    """A connection is routed again once its source is chosen (ip_route_connect)."""
    is_chosen = before.packet.source.is_unspecified and journey.packet.protocol == "tcp"
    if is_over(journey) or not is_chosen:
        return journey, decision
    again, second = next(_routed(journey, Origin()))
    return (again if is_over(again) else journey), second


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
        for routed, decision in _routed(each, origin):
            if is_moved and not is_over(routed) and _stays_in_bridge(at, each, decision):
                neighbour = decision.neighbour or each.packet.destination
                yield replace(routed, at=Bridged(place, device, at.port or device, neighbour))
            else:
                yield from _received(routed, place, device, decision)


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


def _routed(journey: Journey, origin: Origin) -> Iterator[tuple[Journey, Decision]]:
    """The journey with each routing decision."""
    packet = journey.packet
    if origin.source is None:
        source = None if packet.source.is_unspecified else packet.source
        origin = replace(origin, source=source, mark=packet.mark)
    for each in decisions(journey.at.place, packet, origin):
        on = replace(journey, share=journey.share * each.share)
        if each.unknown:
            yield on.undecided(ROUTING, each.unknown, *each.lines), each
        elif each.refused:
            yield on.dies(ROUTING, each.refused, *each.lines), each
        else:
            where = "to this netns itself" if each.is_local else _way(each)
            yield on.noted(ROUTING, where, *each.lines), each


def _with_source(journey: Journey, place: Place, decision: Decision) -> Journey:
    """The journey with the source address that the kernel chooses, if the sender chose none."""
    packet, device = journey.packet, _device(place, decision)
    if is_over(journey) or not packet.source.is_unspecified:
        return journey
    towards = decision.neighbour or packet.destination
    source = decision.source or (source_on(place, device, towards) if device else None)
    if decision.is_local:
        source = packet.destination
    if source is None:
        return journey.dies(ROUTING, "the netns has no address to send from", *decision.lines)
    return replace(journey, packet=replace(packet, source=source))


def _way(decision: Decision) -> str:
    name = decision.device.name if decision.device else "?"
    return f"by {name} to {decision.neighbour}"


def _device(place: Place, decision: Decision) -> Interface | None:
    return place.loopback if decision.is_local else decision.device


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
    device = _device(place, decision)
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
    if virtual := virtual_server(place, journey.packet):
        yield journey.undecided(IPVS, "what IPVS does with it is not followed", virtual)
        return
    for each in through_hook(journey, INPUT, iif=device.name):
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
