"""All Services and endpoints as kube-proxy reads them, indexed once per round for all nodes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from wirecheck.api_index.backend import Backend
from wirecheck.api_index.endpoint_slices import FAMILIES, SlicesByService
from wirecheck.api_index.service import OTHER_PROXY, has_cluster_ip, service_key
from wirecheck.api_index.service_ports import PortFacts, ports_of
from wirecheck.snapshot.objects.service import ServiceObject


@dataclass(frozen=True)
class ServiceIndex:
    """All ports of Services, and the backends by node."""

    ports: tuple[PortFacts, ...]
    backends_by_node: dict[str, frozenset[Backend]]
    health_check_ports: frozenset[tuple[int, int]]
    """(family, port), in every family of the Service."""
    problems: tuple[str, ...] = ()
    cache: dict[object, object] = field(default_factory=dict, compare=False, repr=False)
    """Results that many nodes share, see `dataplane/expected`. It lives as long as the index."""

    @cached_property
    def plain_ports(self) -> tuple[PortFacts, ...]:
        """The ports that all nodes treat alike, and whose addresses no other port claims."""
        claims = Counter(claim for port in self.ports for claim in port.claims)
        return tuple(
            port
            for port in self.ports
            if port.is_plain and all(claims[claim] == 1 for claim in port.claims)
        )

    @cached_property
    def other_ports(self) -> tuple[PortFacts, ...]:
        """All other ports."""
        plain = set(self.plain_ports)
        return tuple(port for port in self.ports if port not in plain)


def index_services(services: Iterable[ServiceObject], slices: SlicesByService) -> ServiceIndex:
    """Index all Services that kube-proxy handles. `problems` names those that are invalid."""
    problems: list[str] = []
    handled = [each for each in services if not is_ignored(each)]
    ports = tuple(
        port
        for service in handled
        for port in ports_of(service, slices.get(service_key(service), ()), problems)
    )
    nodes_of: dict[Backend, set[str]] = defaultdict(set)
    for port in ports:
        for endpoint in port.endpoints:
            nodes_of[endpoint.backend].add(endpoint.node)
    by_node: dict[str, set[Backend]] = defaultdict(set)
    for backend, nodes in nodes_of.items():
        # If slices contradict each other, the backend can be on any of the nodes or on none.
        if len(nodes) == 1:
            by_node[next(iter(nodes))].add(backend)
    health = frozenset(
        (FAMILIES.get(family, 4), service.spec.health_check_node_port)
        for service in handled
        if needs_health_check(service)
        for family in service.spec.ip_families or ("IPv4",)
    )
    return ServiceIndex(
        ports=ports,
        backends_by_node={node: frozenset(backends) for node, backends in by_node.items()},
        health_check_ports=health,
        problems=tuple(problems),
    )


def is_ignored(service: ServiceObject) -> bool:
    """Whether kube-proxy ignores the Service: headless, ExternalName, or of another proxy."""
    return (
        not has_cluster_ip(service)
        or service.spec.type == "ExternalName"
        or OTHER_PROXY in service.metadata.labels
    )


def needs_health_check(service: ServiceObject) -> bool:
    """Whether nodes serve the Service's healthCheckNodePort."""
    return (
        service.spec.type == "LoadBalancer"
        and service.spec.external_traffic_policy == "Local"
        and service.spec.health_check_node_port > 0
    )
