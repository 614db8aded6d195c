"""Ports of Services and their endpoints, as Cilium reads them from the API.

Cilium differs from kube-proxy (pkg/loadbalancer/reflectors): it takes endpoints whose port has no
name for every port of the Service, all addresses of an endpoint, and endpoints without a node name
as local ones. Annotations of `service.cilium.io` change what it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, permutations

from msgspec import Struct
from msgspec.structs import replace

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
WEIGHT = PREFIX + "weight"
"""An annotation of EndpointSlices, which counts for all endpoints of the slice."""
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
    for facts in _in_all_families(service, tuple(ports_of(service, used, problems))):
        by_slice = [found for each in used if (found := _of_slice(each, facts))]
        yield CiliumPort(
            facts=facts,
            is_load_balancer=service.spec.type == "LoadBalancer",
            endpoints=tuple(dict.fromkeys(_alternatives(by_slice))),
            known=frozenset(each for slice_ in used for each in _known(slice_, facts)),
            source_ranges=_source_ranges(service, facts.family),
            denies_ranges=annotations.get(DENY, "").lower() == "deny",
            undecided=undecided,
            distribution=_distribution(facts, service.spec.traffic_distribution),
        )


def _in_all_families(service: ServiceObject, ports: tuple[PortFacts, ...]) -> Iterator[PortFacts]:
    """Also external addresses of families in which the Service has no cluster IP.

    Cilium programs them like the others, kube-proxy does not.
    """
    yield from ports
    own = {each.family for each in ports}
    ingress = [each.ip for each in service.status.load_balancer.ingress if each.ip]
    for family in {4, 6} - own if ports else ():
        external_ips = tuple(_of_family(service.spec.external_ips, family))
        vips = tuple(_of_family(ingress, family))
        for each in ports if external_ips or vips else ():
            if each.family == ports[0].family:
                addresses = {"cluster_ip": "", "external_ips": external_ips, "vips": vips}
                yield replace(each, family=family, node_port=0, **addresses)


def _of_family(texts: Iterable[str], family: int) -> Iterator[str]:
    return (canonical(each) for each in texts if (":" in each) is (family == 6))


Found = Mapping[Backend, CiliumBackend | None]
"""None for endpoints that get no connections: neither ready nor still serving, or of weight 0."""


def _of_slice(slice_: EndpointSliceObject, facts: PortFacts) -> Found:
    """The endpoints of one slice, as a port sees them; of several with one address the last counts.

    Cilium keeps one record for an address, port number and protocol, with the names of the port in
    one slice: an endpoint of another port is none of this port's, whatever another slice says.
    """
    is_used = not _is_in_maintenance(slice_)
    return {
        backend: _state(endpoint, backend) if is_own and is_used else None
        for backend, endpoint, is_own in _records(slice_, facts)
    }


def _is_in_maintenance(slice_: EndpointSliceObject) -> bool:
    """Whether its weight is 0. Others only matter where Maglev chooses (pkg/k8s/endpoints.go)."""
    text = slice_.metadata.annotations.get(WEIGHT, "")
    return bool(re.fullmatch("0{1,20}", text))


def _known(slice_: EndpointSliceObject, facts: PortFacts) -> Iterator[Backend]:
    return (backend for backend, _, is_own in _records(slice_, facts) if is_own)


def _records(
    slice_: EndpointSliceObject, facts: PortFacts
) -> Iterator[tuple[Backend, Endpoint, bool]]:
    """The endpoints of a slice by address and port, and whether they are those of the port."""
    if FAMILIES.get(slice_.address_type) != facts.family:
        return
    names: dict[int, set[str]] = {}
    for port in slice_.ports or ():
        if port.port is not None and port.protocol.lower() == facts.protocol:
            names.setdefault(port.port, set()).add(port.name or "")
    wanted = facts.owner.name
    for endpoint in slice_.endpoints or ():
        for address in endpoint.addresses:
            for number, own in names.items():
                is_own = not wanted or own <= {""} or wanted in own
                yield Backend(canonical(address), number), endpoint, is_own


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
