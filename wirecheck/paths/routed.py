"""The routing of a packet as a stage of its way: by which device it goes on, or that it ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wirecheck.node.netns import Interface
from wirecheck.node.rule_selectors import Origin
from wirecheck.paths.journey import Journey
from wirecheck.paths.netfilter import is_over
from wirecheck.paths.packet import UNSPECIFIED
from wirecheck.paths.place import Place
from wirecheck.paths.route import Decision, decisions, source_on
from wirecheck.paths.source_check import SourceCheck, loopback_check

ROUTING = "routing"


def routed(journey: Journey, origin: Origin) -> Iterator[tuple[Journey, Decision]]:
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
        elif origin.interface == "lo" and (check := _sent_check(journey, each)):
            ended = on.undecided if check.unknown else on.dies
            yield ended(ROUTING, check.unknown or check.refused, *each.lines), each
        else:
            where = "to this netns itself" if each.is_local else _way(each)
            yield on.noted(ROUTING, where, *each.lines), each


def _sent_check(journey: Journey, decision: Decision) -> SourceCheck | None:
    """Why what is sent from 127.0.0.0/8 does not leave by the device; None if it does."""
    if decision.device is None or not journey.packet.source.is_loopback:
        return None
    return loopback_check(journey.at.place, journey.packet, decision.device)


def routed_by_destination(journey: Journey) -> Iterator[tuple[Journey, Decision]]:
    """The journey as `routed`, by a lookup that asks for neither source nor mark."""
    packet = journey.packet
    plain = replace(packet, source=UNSPECIFIED[packet.family], mark=0)
    for each, decision in routed(replace(journey, packet=plain), Origin()):
        yield replace(each, packet=packet), decision


def first_routed(journey: Journey, place: Place) -> Iterator[tuple[Journey, Decision]]:
    """The routes of what a socket sends.

    In IPv6 a socket without an address of its own is routed before its source is chosen, and again
    only if that finds nothing (ip6_dst_lookup_tail). Sockets of pods have none.
    """
    packet = journey.packet
    if journey.carried:  # A tunnel's lookup does not ask for the mark (udp_tunnel_dst_lookup).
        for each, decision in routed(replace(journey, packet=replace(packet, mark=0)), Origin()):
            yield replace(each, packet=packet), decision
        return
    has_none = not (place.is_host or packet.is_answer)
    if packet.family == 6 and has_none:
        plain = replace(journey, packet=replace(packet, source=UNSPECIFIED[6]))
        found = [*routed(plain, Origin())]
        if not any(is_over(each) for each, _ in found):
            for each, decision in found:
                yield replace(each, packet=packet), decision
            return
    yield from routed(journey, Origin())


def connected(before: Journey, journey: Journey, decision: Decision) -> tuple[Journey, Decision]:
    """A connection is routed again once its source is chosen (ip_route_connect).

    In IPv6 it keeps its first route (ip6_dst_lookup_tail). Other protocols do so only if the
    process has connected its socket.
    """
    is_chosen = before.packet.source.is_unspecified and journey.packet.family == 4
    if is_over(journey) or not is_chosen:
        return journey, decision
    again, second = next(routed(journey, Origin()))
    if journey.packet.protocol != "tcp":
        if second.lines != decision.lines:
            why = "it is routed in another way if the process has connected its socket"
            journey = journey.undecided(ROUTING, why, *second.lines)
        return journey, decision
    return (again if is_over(again) else journey), second


def with_source(journey: Journey, place: Place, decision: Decision) -> Journey:
    """The journey with the source address that the kernel chooses, if the sender chose none."""
    packet, device = journey.packet, device_of(place, decision)
    if is_over(journey) or not packet.source.is_unspecified:
        return journey
    towards = decision.neighbour or packet.destination
    source = decision.source or (source_on(place, device, towards) if device else None)
    if decision.is_local:
        source = packet.destination
    if source is None:
        return journey.dies(ROUTING, "the netns has no address to send from", *decision.lines)
    return replace(journey, packet=replace(packet, source=source))


def device_of(place: Place, decision: Decision) -> Interface | None:
    """The device by which the packet leaves: a local destination is reached by lo."""
    return place.loopback if decision.is_local else decision.device


def _way(decision: Decision) -> str:
    name = decision.device.name if decision.device else "?"
    return f"by {name} to {decision.neighbour}"
