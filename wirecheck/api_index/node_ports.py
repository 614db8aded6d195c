"""Node ports of Services, and health checks of load balancers: looking and judging ask for them.

Only what connects is here, TCP: what nodes must do with each connection is the dataplane's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from wirecheck.addresses import canonical
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.endpoint_slice import Endpoint, EndpointSliceObject
from wirecheck.snapshot.objects.service import ServiceObject, ServicePortSpec

FAMILIES = {"IPv4": 4, "IPv6": 6}
OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
"""A Service with this label is left to another program than kube-proxy."""

Key = tuple[str, str]
"""Namespace and name of a Service."""
Slices = Mapping[Key, list[EndpointSliceObject]]


@dataclass(frozen=True, slots=True)
class Backend:
    """An endpoint that Services send connections to."""

    node: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class NodePort:
    """A TCP port that nodes are to open for a Service, in one family."""

    service: Key
    port: int
    family: int
    is_local: bool
    """externalTrafficPolicy Local: a node forwards to its own endpoints alone."""
    backends: tuple[Backend, ...]

    def is_open_at(self, node: str) -> bool:
        """Whether connections from elsewhere to the node's port are to be forwarded."""
        return any(each.node == node or not self.is_local for each in self.backends)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A port at which nodes tell a load balancer whether they have endpoints of a Service."""

    service: Key
    port: int
    family: int
    nodes: frozenset[str]
    """Those with a Ready endpoint."""


def node_ports(api: ApiObjects) -> tuple[NodePort, ...]:
    """All of them, in the order of their Services' names.

    A Service without any endpoint that is used is left out: its connections are refused.
    """
    slices = _slices(api)
    return tuple(each for service in _sorted(api) for each in _node_ports(service, slices))


def health_checks(api: ApiObjects) -> tuple[HealthCheck, ...]:
    """All of them, in the order of their Services' names."""
    slices = _slices(api)
    return tuple(
        HealthCheck(_key(service), service.spec.health_check_node_port, family, nodes)
        for service in _sorted(api)
        if service.spec.health_check_node_port and service.spec.external_traffic_policy == "Local"
        for family in _families(service)
        for nodes in [_with_ready_endpoint(slices.get(_key(service), ()), family)]
    )


def _node_ports(service: ServiceObject, slices: Slices) -> Iterator[NodePort]:
    own = slices.get(_key(service), ())
    is_local = service.spec.external_traffic_policy == "Local"
    for port in service.spec.ports:
        if not port.node_port or port.protocol != "TCP":
            continue
        for family in _families(service):
            backends = tuple(_backends(own, port, family, is_local=is_local))
            if backends:
                yield NodePort(_key(service), port.node_port, family, is_local, backends)


def _backends(
    slices: Iterable[EndpointSliceObject], port: ServicePortSpec, family: int, *, is_local: bool
) -> Iterator[Backend]:
    """Ready endpoints, or those that still serve while they end: of each node, or of all."""
    pools: dict[str, list[tuple[Endpoint, int]]] = defaultdict(list)
    for slice_ in slices:
        if FAMILIES.get(slice_.address_type) != family:
            continue
        for each in slice_.ports or ():
            # Joined by name, since one name may stand for another number in another slice.
            if (each.name or "", each.protocol) == (port.name, port.protocol) and each.port:
                for endpoint in slice_.endpoints or ():
                    pools[endpoint.node_name if is_local else ""].append((endpoint, each.port))
    for pool in pools.values():
        used = [each for each in pool if is_serving(each[0])]
        for endpoint, number in used or [each for each in pool if _still_serves(each[0])]:
            if endpoint.addresses:
                yield Backend(endpoint.node_name, canonical(endpoint.addresses[0]), number)


def _with_ready_endpoint(slices: Iterable[EndpointSliceObject], family: int) -> frozenset[str]:
    return frozenset(
        endpoint.node_name
        for slice_ in slices
        if FAMILIES.get(slice_.address_type) == family
        for endpoint in slice_.endpoints or ()
        if is_serving(endpoint)
    )


def is_serving(endpoint: Endpoint) -> bool:
    """Whether Services send new connections there."""
    return endpoint.conditions.ready is not False and not endpoint.conditions.terminating


def _still_serves(endpoint: Endpoint) -> bool:
    return endpoint.conditions.serving is not False and bool(endpoint.conditions.terminating)


def _sorted(api: ApiObjects) -> list[ServiceObject]:
    """Services of kube-proxy that have an address, by namespace and name."""
    return sorted(
        (
            each
            for each in api.services
            if each.spec.cluster_ip not in ("", "None") and OTHER_PROXY not in each.metadata.labels
        ),
        key=_key,
    )


def _slices(api: ApiObjects) -> Slices:
    found: dict[Key, list[EndpointSliceObject]] = defaultdict(list)
    for each in api.endpoint_slices:
        if name := each.metadata.labels.get("kubernetes.io/service-name"):
            found[each.metadata.namespace, name].append(each)
    return found


def _families(service: ServiceObject) -> list[int]:
    return [FAMILIES[each] for each in service.spec.ip_families or ("IPv4",) if each in FAMILIES]


def _key(service: ServiceObject) -> Key:
    return service.metadata.namespace, service.metadata.name
