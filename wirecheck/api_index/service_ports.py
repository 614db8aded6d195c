"""Ports of Services and their endpoints, as kube-proxy reads them from the API.

What differs from node to node (locality, hints) stays with each endpoint; `dataplane/expected`
applies it for one node.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from msgspec import Struct

from wirecheck.addresses import IPNetwork, canonical, network
from wirecheck.api_index.backend import Backend, ServicePort
from wirecheck.api_index.endpoint_slices import FAMILIES, is_ready
from wirecheck.api_index.service import OTHER_PROXY
from wirecheck.snapshot.objects.endpoint_slice import Endpoint, EndpointSliceObject
from wirecheck.snapshot.objects.service import ServiceObject, ServicePortSpec

HEADLESS = "service.kubernetes.io/headless"
"""kube-proxy ignores a slice that has this label."""

SESSION_TIMEOUT = 10800
"""Seconds of ClientIP session affinity unless the Service sets another timeout."""

NONE: frozenset[str] = frozenset()


class EndpointFacts(Struct, frozen=True, gc=False):
    """One endpoint of one Service port, with its conditions as kube-proxy reads them."""

    backend: Backend
    node: str
    ready: bool
    serving: bool
    terminating: bool
    zones: frozenset[str]
    nodes: frozenset[str]
    of_other_proxy: bool = False
    """Its slice has the label of another proxy. kube-proxy ignores it up to 1.35."""


class PortFacts(Struct, frozen=True, eq=False, gc=False):
    """One port of one Service in one IP family, with its addresses and endpoints."""

    owner: ServicePort
    family: int
    protocol: str
    cluster_ip: str
    port: int
    node_port: int
    external_ips: tuple[str, ...]
    vips: tuple[str, ...]
    """Addresses of the load balancer."""
    proxied_vips: frozenset[str]
    """Those with ipMode Proxy. A kube-proxy that knows ipMode does not program them."""
    source_ranges: tuple[IPNetwork, ...]
    internal_local: bool
    external_local: bool
    affinity: int
    """Timeout of the session affinity in seconds; 0 means none."""
    hints_annotation: str
    endpoints: tuple[EndpointFacts, ...]
    """Sorted by address and port as text. Several can have the same address and port."""
    known: frozenset[Backend]
    slices: tuple[tuple[EndpointFacts, ...], ...] = ()
    """By slice, in the API's order; only if several endpoints have the same backend."""

    @property
    def is_uniform(self) -> bool:
        """Whether all nodes must use the same endpoints."""
        return not (
            self.internal_local
            or self.external_local
            or any(each.zones or each.nodes or each.of_other_proxy for each in self.endpoints)
            or len(self.known) < len(self.endpoints)
        )

    @property
    def is_plain(self) -> bool:
        """Whether all nodes must do the same, and at the cluster IP only."""
        return self.is_uniform and not (
            self.node_port or self.external_ips or self.vips or self.source_ranges
        )

    @property
    def claims(self) -> Iterator[tuple[int, str, str, int]]:
        """(family, address, protocol, port) at which it is reached, except node ports."""
        for each in (self.cluster_ip, *self.external_ips, *self.vips):
            yield self.family, each, self.protocol, self.port


def ports_of(
    service: ServiceObject, slices: Iterable[EndpointSliceObject], problems: list[str]
) -> Iterator[PortFacts]:
    """Yield each port in each family of the Service.

    A Service with an invalid address has none, and is named in `problems`.
    """
    meta, spec = service.metadata, service.spec
    used = [each for each in slices if HEADLESS not in each.metadata.labels]
    try:
        cluster_ips = _by_family(spec.cluster_ips or [spec.cluster_ip])
        externals = _by_family(spec.external_ips)
        ingress = [each for each in service.status.load_balancer.ingress if each.ip]
        vips = _by_family(each.ip for each in ingress)
        proxied = frozenset(canonical(each.ip) for each in ingress if each.ip_mode == "Proxy")
        source_ranges = [network(each.strip()) for each in spec.load_balancer_source_ranges]
    except ValueError as error:
        problems.append(
            f"Service {meta.namespace}/{meta.name} has an invalid address ({error}) and is not "
            "compared. Correct the Service."
        )
        return
    for family, addresses in cluster_ips.items():
        ranges = tuple(each for each in source_ranges if each.version == family)
        for port in spec.ports:
            by_slice = _by_slice(used, family, port)
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
                # A range of all addresses restricts nothing.
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
    """The addresses in canonical form, in order, by family."""
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
    return config.client_ip.timeout_seconds if config and config.client_ip else SESSION_TIMEOUT


def _hints_annotation(service: ServiceObject) -> str:
    annotations = service.metadata.annotations
    old = annotations.get("service.kubernetes.io/topology-aware-hints")
    return old if old is not None else annotations.get("service.kubernetes.io/topology-mode", "")


def _by_slice(
    slices: Iterable[EndpointSliceObject], family: int, port: ServicePortSpec
) -> tuple[tuple[EndpointFacts, ...], ...]:
    """The endpoints of a port, which a slice names by name and protocol, never by number."""
    found = []
    for each in slices:
        if FAMILIES.get(each.address_type) != family:
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
    distinct = {endpoint for endpoints in by_slice for endpoint in endpoints}
    return tuple(sorted(distinct, key=lambda each: str(each.backend)))


def _endpoint(endpoint: Endpoint, port: int, of_other_proxy: bool) -> EndpointFacts:
    conditions, hints = endpoint.conditions, endpoint.hints
    return EndpointFacts(
        # Consumers of EndpointSlices must use the first address only.
        backend=Backend(canonical(endpoint.addresses[0]), port),
        node=endpoint.node_name,
        ready=is_ready(endpoint),
        serving=conditions.serving is None or conditions.serving,
        terminating=bool(conditions.terminating),
        zones=frozenset(each.name for each in hints.for_zones or ()) if hints else NONE,
        nodes=frozenset(each.name for each in hints.for_nodes or ()) if hints else NONE,
        of_other_proxy=of_other_proxy,
    )
