"""Node ports of Services, and the health check ports of load balancers.

Collecting connects to them and checks evaluate the answers, so only TCP is here. What a node
must do with each connection is the dataplane's part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wirecheck.addresses import canonical
from wirecheck.api_index.endpoint_slices import (
    FAMILIES,
    SlicesByService,
    is_serving,
    serves_while_terminating,
)
from wirecheck.api_index.service import OTHER_PROXY, ServiceKey, has_cluster_ip, service_key
from wirecheck.snapshot.objects.endpoint_slice import Endpoint, EndpointSliceObject
from wirecheck.snapshot.objects.service import ServiceObject, ServicePortSpec


@dataclass(frozen=True, slots=True)
class Backend:
    """A usable endpoint of a Service."""

    node: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class NodePort:
    """A node port of a Service for TCP, in one family."""

    service: ServiceKey
    port: int
    family: int
    is_local: bool
    """externalTrafficPolicy Local: a node forwards to its own endpoints only."""
    backends: tuple[Backend, ...]

    def is_open_at(self, node: str) -> bool:
        """Whether the node must forward connections to this port that come from other machines."""
        return any(each.node == node or not self.is_local for each in self.backends)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A port at which a load balancer learns whether a node has endpoints of a Service."""

    service: ServiceKey
    port: int
    family: int
    nodes: frozenset[str]
    """The nodes that have a Ready endpoint."""


def node_ports(services: Iterable[ServiceObject], slices: SlicesByService) -> tuple[NodePort, ...]:
    """All of them, ordered by the Services' names.

    A Service without a usable endpoint is left out: its connections are refused.
    """
    return tuple(each for service in _sorted(services) for each in _node_ports(service, slices))


def health_checks(
    services: Iterable[ServiceObject], slices: SlicesByService
) -> tuple[HealthCheck, ...]:
    """All of them, ordered by the Services' names."""
    return tuple(
        HealthCheck(service_key(service), service.spec.health_check_node_port, family, nodes)
        for service in _sorted(services)
        if service.spec.health_check_node_port and service.spec.external_traffic_policy == "Local"
        for family in _families(service)
        for nodes in [_with_ready_endpoint(slices.get(service_key(service), ()), family)]
    )


def _node_ports(service: ServiceObject, slices: SlicesByService) -> Iterator[NodePort]:
    own = slices.get(service_key(service), ())
    is_local = service.spec.external_traffic_policy == "Local"
    for port in service.spec.ports:
        if not port.node_port or port.protocol != "TCP":
            continue
        for family in _families(service):
            backends = tuple(_backends(own, port, family, is_local=is_local))
            if backends:
                yield NodePort(service_key(service), port.node_port, family, is_local, backends)


def _backends(
    slices: Iterable[EndpointSliceObject], port: ServicePortSpec, family: int, *, is_local: bool
) -> Iterator[Backend]:
    """Ready endpoints, or the ones that serve while terminating: per node, or of all nodes."""
    pools: dict[str, list[tuple[Endpoint, int]]] = defaultdict(list)
    for slice_ in slices:
        if FAMILIES.get(slice_.address_type) != family:
            continue
        for each in slice_.ports or ():
            # Joined by name: one name can stand for different numbers in different slices.
            if (each.name or "", each.protocol) == (port.name, port.protocol) and each.port:
                for endpoint in slice_.endpoints or ():
                    pools[endpoint.node_name if is_local else ""].append((endpoint, each.port))
    for pool in pools.values():
        used = [each for each in pool if is_serving(each[0])]
        for endpoint, number in used or [
            each for each in pool if serves_while_terminating(each[0])
        ]:
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


def _sorted(services: Iterable[ServiceObject]) -> list[ServiceObject]:
    """Services of kube-proxy that have a cluster IP, by namespace and name."""
    return sorted(
        (
            each
            for each in services
            if has_cluster_ip(each) and OTHER_PROXY not in each.metadata.labels
        ),
        key=service_key,
    )


def _families(service: ServiceObject) -> list[int]:
    return [FAMILIES[each] for each in service.spec.ip_families or ("IPv4",) if each in FAMILIES]
