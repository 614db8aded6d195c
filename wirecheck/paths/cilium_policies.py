"""Cilium's policies: the maps of the endpoints of both pods decide about the first packet."""

from __future__ import annotations

from dataclasses import replace

from wirecheck.addresses import IPAddress
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.dataplane.ebpf.policy_maps import PROTOCOLS
from wirecheck.paths.journey import Hop, Journey, Result
from wirecheck.paths.packet import Segment
from wirecheck.paths.place import Place, World
from wirecheck.policy.map_enforcer import Connection
from wirecheck.policy.reach import Direction

STAGE = "policy"


def past_policy_maps(world: World, sent: Segment, there: Journey) -> tuple[Journey, bool]:
    """The journey, refused if one of the maps refuses it, and whether both were followed.

    A program decides when the packet leaves the pod and before it is delivered to the other one,
    and what else happens to it in between is not followed: a refusal is certain all the same.
    """
    if there.carried or there.packet.protocol not in PROTOCOLS or there.packet.is_answer:
        return there, False
    source, target = sent.source, there.packet.destination
    if source == target:
        return there, False
    ways = ((source, target, Direction.EGRESS), (target, source, Direction.INGRESS))
    is_followed = False
    for own, peer, direction in ways:
        pod = world.pod_with(own)
        if pod is None:
            continue
        place = world.place_of(pod)
        if isinstance(place, str) or not place.machine.policy_maps.is_in_use:
            return there, False
        found = _connection(place, own, peer, direction, there.packet)
        hop = Hop(place.node, place.name, STAGE, _text(found, direction), found.lines)
        if found.is_allowed is None:
            return there, False
        if not found.is_allowed and hop.line not in there.overlooked:
            hops = (*there.hops, hop)
            return replace(there, hops=hops, result=Result.DIES, reason=hop.text), True
        # What follows last is what leaves the journey undecided.
        there = replace(there, hops=(*there.hops[:-1], hop, *there.hops[-1:]))
        is_followed = True
    return there, is_followed


def _connection(
    place: Place, own: IPAddress, peer: IPAddress, direction: Direction, packet: Segment
) -> Connection:
    try:
        return place.machine.policy_maps.connection(
            own, peer, direction, (packet.protocol, packet.port)
        )
    except FactMissingError as error:
        return Connection(None, why=str(error))


def _text(found: Connection, direction: Direction) -> str:
    way = f"Cilium's policy map of the pod for {direction.lower()}"
    return f"{way} allows it" if found.is_allowed else f"{way} refuses it"
