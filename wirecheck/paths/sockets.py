"""Connections that Cilium translates at the socket, before the first packet is sent.

Its programs on the node's cgroup choose the backend when a process connects or sends (bpf_sock.c),
in the netns of every pod and on the node itself. The Service's address is never on the wire.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import replace

from wirecheck.addresses import IPAddress, address
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.dataplane.table import Client, Frontend, Handling, Verdict
from wirecheck.node.cilium_services import CiliumServices
from wirecheck.paths.journey import Journey
from wirecheck.paths.place import Place

STAGE = "socket"


def connecting(journey: Journey) -> Iterator[Journey]:
    """The journey to each backend that the socket may choose; itself if nothing translates it."""
    place = journey.at.place
    cilium = place.machine.cilium
    client = Client.NODE if place.is_host else Client.POD
    if journey.packet.is_answer or journey.carried or not cilium.translates_socket(client):
        yield journey
        return
    try:
        handling = _handling(cilium, journey, client)
    except FactMissingError as error:
        is_service = journey.packet.destination in _services(place)
        yield journey.undecided(STAGE, str(error)) if is_service else journey
        return
    yield from _chosen(journey, handling)


def _handling(cilium: CiliumServices, journey: Journey, client: Client) -> Handling:
    if not cilium.were_read:
        raise FactMissingError("Cilium translates it at the socket, and its maps were not read")
    packet = journey.packet
    where = str(packet.destination)
    return cilium.handling(Frontend(packet.family, where, packet.protocol, packet.port), client)


def _services(place: Place) -> Container[IPAddress]:
    return place.machine.seen.cluster.service_addresses.by_address


def _chosen(journey: Journey, handling: Handling) -> Iterator[Journey]:
    match handling.verdict:
        case Verdict.NOTHING:
            yield journey
        case Verdict.REJECT:
            why = handling.reason or "the Service has no backend"
            yield journey.dies(STAGE, f"rejected: {why}", *handling.lines)
        case Verdict.FORWARD:
            yield from _forwarded(journey, handling)
        case _:
            why = handling.reason or f"its connections are {handling.verdict}"
            yield journey.undecided(STAGE, why, *handling.lines)


def _forwarded(journey: Journey, handling: Handling) -> Iterator[Journey]:
    for backend, share in zip(handling.backends, handling.shares, strict=True):
        if not share:
            continue
        on = journey.redirected(address(backend.address), backend.port)
        on = replace(on, share=journey.share * share)
        yield on.noted(STAGE, f"it connects to {on.packet.target}", *handling.lines_to(backend))
    if (lost := 1 - sum(handling.shares)) > 1e-9:
        on = replace(journey, share=journey.share * lost)
        yield on.dies(STAGE, "a slot of the Service has no backend", *handling.lines[:1])
