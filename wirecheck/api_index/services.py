"""The API's Services and EndpointSlices as kube-proxy understands them, for all nodes at once.

Made once per look, and used for every node: what differs from node to node (locality, hints)
is kept with each endpoint and decided in `endpoints.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from msgspec import Struct

from wirecheck.addresses import IPNetwork, canonical, network
from wirecheck.api_index.backend import Backend, ServicePort
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.endpoint_slice import Endpoint, EndpointSliceObject
from wirecheck.snapshot.objects.service import ServiceObject, ServicePortSpec

SERVICE_NAME = "kubernetes.io/service-name"
OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"
FAMILY_OF_TYPE = {"IPv4": 4, "IPv6": 6}
NOWHERE: frozenset[str] = frozenset()


class EndpointFacts(Struct, frozen=True, gc=False):
    """One endpoint of one Service port, conditions as kube-proxy reads them."""

    backend: Backend
    node: str
    ready: bool
    serving: bool
    terminating: bool
    zones: frozenset[str]
    nodes: frozenset[str]
    is_anothers: bool = False
    """Of a slice that names another proxy: kube-proxy left these out until 1.35."""


class PortFacts(Struct, frozen=True, eq=False, gc=False):
    """One port of one Service in one family, with what it is reached at and its endpoints."""

    owner: ServicePort
    family: int
    protocol: str
    cluster_ip: str
    port: int
    node_port: int
    external_ips: tuple[str, ...]
    vips: tuple[str, ...]
    """Load balancer addresses."""
    proxied_vips: frozenset[str]
    """Of these, the ones with ipMode Proxy: not programmed where that is understood."""
    source_ranges: tuple[IPNetwork, ...]
    internal_local: bool
    external_local: bool
    affinity: int
    """Seconds, 0 for none."""
    hints_annotation: str
    endpoints: tuple[EndpointFacts, ...]
    """Sorted by address and port as text; several of them may be of the same."""
    known: frozenset[Backend]
    slices: tuple[tuple[EndpointFacts, ...], ...] = ()
    """By slice, in the slices' own order, where several endpoints are of the same backend."""

    @property
    def is_uniform(self) -> bool:
        """Whether every node must use the same endpoints."""
        return not (
            self.internal_local
            or self.external_local
            or any(each.zones or each.nodes or each.is_anothers for each in self.endpoints)
            or len(self.known) < len(self.endpoints)
        )

    @property
    def is_plain(self) -> bool:
        """Whether every node must do the same, and at its cluster address alone."""
        return self.is_uniform and not (
            self.node_port or self.external_ips or self.vips or self.source_ranges
        )

    @property
    def places(self) -> Iterator[tuple[int, str, str, int]]:
        """Where it is reached, but for node ports."""
        for each in (self.cluster_ip, *self.external_ips, *self.vips):
            yield self.family, each, self.protocol, self.port


@dataclass(frozen=True)
class ServiceIndex:
    """All Service ports, and the endpoints by node."""

    ports: tuple[PortFacts, ...]
    backends_by_node: dict[str, frozenset[Backend]]
    health_check_ports: frozenset[tuple[int, int]]
    """With the families that the Service has."""
    problems: tuple[str, ...] = ()
    memo: dict[object, object] = field(default_factory=dict, compare=False, repr=False)
    """Results that hold for many nodes, see `expected.py`; lives as long as the index."""

    @cached_property
    def plain_ports(self) -> tuple[PortFacts, ...]:
        """Those of which every node makes the same, and whose place no other one claims."""
        claims = Counter(place for port in self.ports for place in port.places)
        return tuple(
            port
            for port in self.ports
            if port.is_plain and all(claims[place] == 1 for place in port.places)
        )

    @cached_property
    def other_ports(self) -> tuple[PortFacts, ...]:
        """All others."""
        plain = set(self.plain_ports)
        return tuple(port for port in self.ports if port not in plain)


def index_services(api: ApiObjects) -> ServiceIndex:
    """Index what the API shows. What cannot be an address is left out, and said in `problems`."""
    problems: list[str] = []
    slices = _slices_by_service(api.endpoint_slices)
    ports = tuple(
        port
        for service in api.services
        if not is_ignored(service)
        for port in _ports_of(service, slices, problems)
    )
    nodes_of: dict[Backend, set[str]] = defaultdict(set)
    for port in ports:
        for endpoint in port.endpoints:
            nodes_of[endpoint.backend].add(endpoint.node)
    by_node: dict[str, set[Backend]] = defaultdict(set)
    for backend, nodes in nodes_of.items():
        # Where slices contradict each other it may be on any of them, or on none.
        if len(nodes) == 1:
            by_node[next(iter(nodes))].add(backend)
    health = frozenset(
        (FAMILY_OF_TYPE.get(family, 4), service.spec.health_check_node_port)
        for service in api.services
        if needs_health_check(service) and not is_ignored(service)
        for family in service.spec.ip_families or ("IPv4",)
    )
    return ServiceIndex(
        ports=ports,
        backends_by_node={node: frozenset(backends) for node, backends in by_node.items()},
        health_check_ports=health,
        problems=tuple(problems),
    )


def is_ignored(service: ServiceObject) -> bool:
    """Whether kube-proxy leaves the Service alone: headless, ExternalName, another proxy's."""
    return (
        service.spec.cluster_ip in ("", "None")
        or service.spec.type == "ExternalName"
        or OTHER_PROXY in service.metadata.labels
    )


def needs_health_check(service: ServiceObject) -> bool:
    """Whether nodes answer on the Service's healthCheckNodePort."""
    return (
        service.spec.type == "LoadBalancer"
        and service.spec.external_traffic_policy == "Local"
        and service.spec.health_check_node_port > 0
    )


def _slices_by_service(
    slices: Iterable[EndpointSliceObject],
) -> dict[tuple[str, str], list[EndpointSliceObject]]:
    grouped: dict[tuple[str, str], list[EndpointSliceObject]] = defaultdict(list)
    for each in slices:
        labels = each.metadata.labels
        service = labels.get(SERVICE_NAME)
        if service and HEADLESS not in labels:
            grouped[each.metadata.namespace, service].append(each)
    return grouped


def _ports_of(
    service: ServiceObject,
    slices: dict[tuple[str, str], list[EndpointSliceObject]],
    problems: list[str],
) -> Iterator[PortFacts]:
    meta, spec = service.metadata, service.spec
    own_slices = slices.get((meta.namespace, meta.name), [])
    try:
        cluster_ips = _by_family(spec.cluster_ips or [spec.cluster_ip])
        externals = _by_family(spec.external_ips)
        ingress = [each for each in service.status.load_balancer.ingress if each.ip]
        vips = _by_family(each.ip for each in ingress)
        proxied = frozenset(canonical(each.ip) for each in ingress if each.ip_mode == "Proxy")
        source_ranges = [network(each.strip()) for each in spec.load_balancer_source_ranges]
    except ValueError as error:
        problems.append(
            f"Service {meta.namespace}/{meta.name} holds what is no address ({error}): "
            "it is not compared; correct the Service."
        )
        return
    for family, addresses in cluster_ips.items():
        ranges = tuple(each for each in source_ranges if each.version == family)
        for port in spec.ports:
            by_slice = _by_slice(own_slices, family, port)
            endpoints = _sorted(by_slice)
            known = frozenset(each.backend for each in endpoints)
            yield PortFacts(
                owner=ServicePort(meta.namespace, meta.name, port.name, port.protocol, meta.uid),
                family=family,
                protocol=port.protocol.lower(),
                cluster_ip=addresses[0],
                port=port.port,
                node_port=port.node_port,
                external_ips=tuple(externals.get(family, ())),
                vips=tuple(vips.get(family, ())),
                proxied_vips=proxied,
                # A range that holds every address is the same as none.
                source_ranges=() if any(each.prefixlen == 0 for each in ranges) else ranges,
                internal_local=spec.internal_traffic_policy == "Local",
                external_local=_is_external_local(service),
                affinity=_affinity(service),
                hints_annotation=_hints_annotation(service),
                endpoints=endpoints,
                known=known,
                slices=by_slice if len(known) < len(endpoints) else (),
            )


def _by_family(texts: Iterable[str]) -> dict[int, list[str]]:
    """The addresses in canonical form, in their order, by family."""
    grouped: dict[int, list[str]] = defaultdict(list)
    for text in texts:
        grouped[6 if ":" in text else 4].append(canonical(text))
    return grouped


def _is_external_local(service: ServiceObject) -> bool:
    spec = service.spec
    is_external = spec.type in ("NodePort", "LoadBalancer") or bool(spec.external_ips)
    return is_external and spec.external_traffic_policy == "Local"


def _affinity(service: ServiceObject) -> int:
    if service.spec.session_affinity != "ClientIP":
        return 0
    config = service.spec.session_affinity_config
    return config.client_ip.timeout_seconds if config and config.client_ip else 10800


def _hints_annotation(service: ServiceObject) -> str:
    annotations = service.metadata.annotations
    old = annotations.get("service.kubernetes.io/topology-aware-hints")
    return old if old is not None else annotations.get("service.kubernetes.io/topology-mode", "")


def _by_slice(
    slices: Iterable[EndpointSliceObject], family: int, port: ServicePortSpec
) -> tuple[tuple[EndpointFacts, ...], ...]:
    """The endpoints of a port: joined by the port's name and protocol, never by its number."""
    found = []
    for each in slices:
        if FAMILY_OF_TYPE.get(each.address_type) != family:
            continue
        for slice_port in each.ports or ():
            if slice_port.name != port.name or slice_port.protocol != port.protocol:
                continue
            if not slice_port.port:
                continue
            found.append(
                tuple(
                    _endpoint(endpoint, slice_port.port, OTHER_PROXY in each.metadata.labels)
                    for endpoint in each.endpoints or ()
                    if endpoint.addresses
                )
            )
    return tuple(found)


def _sorted(by_slice: Iterable[Iterable[EndpointFacts]]) -> tuple[EndpointFacts, ...]:
    once_each = {endpoint for endpoints in by_slice for endpoint in endpoints}
    return tuple(sorted(once_each, key=lambda each: str(each.backend)))


def _endpoint(endpoint: Endpoint, port: int, is_anothers: bool) -> EndpointFacts:
    conditions, hints = endpoint.conditions, endpoint.hints
    return EndpointFacts(
        # Only the first address counts: consumers of EndpointSlices must not use the others.
        backend=Backend(canonical(endpoint.addresses[0]), port),
        node=endpoint.node_name,
        ready=conditions.ready is None or conditions.ready,
        serving=conditions.serving is None or conditions.serving,
        terminating=bool(conditions.terminating),
        zones=frozenset(each.name for each in hints.for_zones or ()) if hints else NOWHERE,
        nodes=frozenset(each.name for each in hints.for_nodes or ()) if hints else NOWHERE,
        is_anothers=is_anothers,
    )
