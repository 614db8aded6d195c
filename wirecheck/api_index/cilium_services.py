"""Ports of Services and their endpoints, as Cilium reads them from the API.

Cilium differs from kube-proxy (pkg/loadbalancer/reflectors): it takes endpoints whose port has no
name for every port of the Service, all addresses of an endpoint, and endpoints without a node name
as local ones. Annotations of `service.cilium.io` change what it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, permutations

from msgspec import Struct

from wirecheck.addresses import IPNetwork, canonical, network
from wirecheck.api_index.backend import Backend
from wirecheck.api_index.endpoint_slices import FAMILIES, SlicesByService, is_ready
from wirecheck.api_index.service import OTHER_PROXY, service_key
from wirecheck.api_index.service_ports import HEADLESS, PortFacts, ports_of
from wirecheck.api_index.services import is_ignored
from wirecheck.snapshot.objects.endpoint_slice import Endpoint, EndpointSliceObject
from wirecheck.snapshot.objects.service import ServiceObject

PREFIX = "service.cilium.io/"
DENY = PREFIX + "src-ranges-policy"
NOT_COMPARED = {
    PREFIX + "global": "endpoints of other clusters of a ClusterMesh are added to its own",
    "io.cilium/global-service": "endpoints of other clusters of a ClusterMesh are added to its own",
    PREFIX + "node": "it is only served on some nodes",
    PREFIX + "node-selector": "it is only served on some nodes",
    PREFIX + "type": "it is only served at some of its addresses",
    PREFIX + "proxy-delegation": "a proxy on the node serves it",
}
"""Annotations by which a Service is not compared, with the reason."""
MOST_ORDERS = 24
HINTS_OFF = frozenset({"", "disabled", "Disabled"})
BY_ANNOTATION = "PreferSameZone"
"""What the older annotation for topology asks for."""


class CiliumBackend(Struct, frozen=True, gc=False):
    """One endpoint of one Service port."""

    backend: Backend
    node: str
    """Empty for one that counts as local on every node."""
    is_active: bool
    """Ready. Otherwise it terminates, and is used where no other one is active."""
    zones: frozenset[str]


Endpoints = tuple[CiliumBackend, ...]


class CiliumPort(Struct, frozen=True, eq=False, gc=False):
    """One port of one Service in one IP family."""

    facts: PortFacts
    is_load_balancer: bool
    endpoints: tuple[Endpoints, ...]
    """Sorted. Several if slices contradict each other: the one that Cilium saw last wins."""
    known: frozenset[Backend]
    """Every endpoint in its EndpointSlices, whatever its condition."""
    source_ranges: tuple[IPNetwork, ...] | None
    """Those of this family; None if every client may connect."""
    denies_ranges: bool
    """Whether clients in the ranges are refused, rather than all others."""
    undecided: str
    """Why the port is not compared; empty if it is."""
    distribution: str
    """The Service's spec.trafficDistribution; empty with internalTrafficPolicy Local."""


def cilium_ports(
    services: Iterable[ServiceObject], slices: SlicesByService, problems: list[str]
) -> tuple[CiliumPort, ...]:
    """All ports that Cilium forwards. `problems` names Services that are invalid."""
    return tuple(
        port
        for service in services
        if not is_ignored(service) and HEADLESS not in service.metadata.labels
        for port in _ports(service, slices.get(service_key(service), ()), problems)
    )


def _ports(
    service: ServiceObject, slices: Iterable[EndpointSliceObject], problems: list[str]
) -> Iterator[CiliumPort]:
    used = [
        each
        for each in slices
        if HEADLESS not in each.metadata.labels and OTHER_PROXY not in each.metadata.labels
    ]
    annotations = service.metadata.annotations
    undecided = next((why for key, why in NOT_COMPARED.items() if key in annotations), "")
    for facts in ports_of(service, used, problems):
        by_slice = [found for each in used if (found := _of_slice(each, facts))]
        yield CiliumPort(
            facts=facts,
            is_load_balancer=service.spec.type == "LoadBalancer",
            endpoints=tuple(dict.fromkeys(_alternatives(by_slice))),
            known=frozenset(each for found in by_slice for each in found),
            source_ranges=_source_ranges(service, facts.family),
            denies_ranges=annotations.get(DENY, "").lower() == "deny",
            undecided=undecided,
            distribution=_distribution(facts, service.spec.traffic_distribution),
        )


Found = Mapping[Backend, CiliumBackend | None]
"""None for endpoints that get no connections: neither ready nor still serving."""


def _of_slice(slice_: EndpointSliceObject, facts: PortFacts) -> Found:
    """The endpoints of a port in one slice; of several with one address the last one counts."""
    if FAMILIES.get(slice_.address_type) != facts.family:
        return {}
    names: dict[int, set[str]] = {}
    for port in slice_.ports or ():
        if port.port is not None and port.protocol.lower() == facts.protocol:
            names.setdefault(port.port, set()).add(port.name or "")
    wanted = facts.owner.name
    numbers = [port for port, own in names.items() if not wanted or own <= {""} or wanted in own]
    return {
        Backend(canonical(address), number): _state(endpoint, Backend(canonical(address), number))
        for endpoint in slice_.endpoints or ()
        for address in endpoint.addresses
        for number in numbers
    }


def _state(endpoint: Endpoint, backend: Backend) -> CiliumBackend | None:
    conditions, hints = endpoint.conditions, endpoint.hints
    is_serving = conditions.serving is None or conditions.serving
    if not is_ready(endpoint) and not (conditions.terminating and is_serving):
        return None
    # Without a zone of its own, its hints do not count.
    named = hints.for_zones if hints and endpoint.zone else None
    zones = frozenset(each.name for each in named or ())
    return CiliumBackend(backend, endpoint.node_name, is_ready(endpoint), zones)


def _alternatives(by_slice: list[Found]) -> Iterator[Endpoints]:
    """The endpoints of all slices; several ways if slices contradict each other."""
    everything: set[tuple[Backend, CiliumBackend | None]] = set()
    for each in by_slice:
        everything.update(each.items())
    is_clear = len(everything) == len({backend for backend, _ in everything})
    orders = islice(permutations(by_slice), 1 if is_clear else MOST_ORDERS)
    for order in orders:
        merged: dict[Backend, CiliumBackend | None] = {}
        for each in order:
            merged |= each
        yield tuple(found for _, found in sorted(merged.items()) if found is not None)


def _distribution(facts: PortFacts, distribution: str) -> str:
    if facts.internal_local:
        return ""
    return distribution or ("" if facts.hints_annotation in HINTS_OFF else BY_ANNOTATION)


def _source_ranges(service: ServiceObject, family: int) -> tuple[IPNetwork, ...] | None:
    """Ranges of the other family only leave no client of this one."""
    ranges = [network(each.strip()) for each in service.spec.load_balancer_source_ranges]
    return tuple(each for each in ranges if each.version == family) if ranges else None
