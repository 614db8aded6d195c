"""The cluster's DNS as the checks need it: Service addresses, replicas and backends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wirecheck.addresses import IPAddress, addresses
from wirecheck.api_index.cluster_dns import cluster_dns
from wirecheck.api_index.endpoint_slices import SlicesByService, endpoint_addresses
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.service import cluster_ips, service_key
from wirecheck.snapshot.api_objects import ApiObjects


@dataclass(frozen=True)
class Dns:
    """The cluster's DNS: its domain, Service addresses and replicas."""

    domain: str
    zones: tuple[str, ...]
    """Every domain that the Corefile serves; empty if that is not known."""
    service_addresses: frozenset[IPAddress]
    replicas: tuple[Pod, ...]
    backend_addresses: frozenset[IPAddress]
    """The addresses of the Services' endpoints, terminating ones included."""

    other_addresses: frozenset[IPAddress] = frozenset()
    """The cluster IPs of other Services with port 53: a kubelet may hand out one of these."""
    answered_otherwise: Mapping[str, str] = field(default_factory=dict)
    """The domains that the Corefile answers for without the API, each with how."""
    namespace: str = ""
    config_map: str = ""
    """The ConfigMap that the Corefile was read from; empty if it was not read."""
    service: str = ""
    """The name of the first DNS Service."""
    selector: str = ""
    """The labels of the replicas, as `kubectl -l` takes them."""
    is_at_zero: bool = False
    """Whether the DNS Services select no pod at all, not even one that does not run."""


def dns_of(api: ApiObjects, pods: Iterable[Pod], slices: SlicesByService) -> Dns:
    """Return the cluster's DNS, found by its Service."""
    known = cluster_dns(api)
    replicas = {pod.metadata.uid for pod in known.replicas}
    return Dns(
        domain=known.domain,
        zones=known.zones,
        service_addresses=addresses(known.addresses),
        replicas=tuple(pod for pod in pods if pod.ref.uid in replicas),
        backend_addresses=addresses(
            text
            for service in known.services
            for text in endpoint_addresses(slices.get(service_key(service), ()))
        ),
        other_addresses=addresses(
            text
            for service in api.services
            if any(port.port == 53 for port in service.spec.ports) and service not in known.services
            for text in cluster_ips(service)
        ),
        answered_otherwise=known.answered_otherwise,
        namespace=known.namespace,
        config_map=known.config_map,
        service=next((each.metadata.name for each in known.services), ""),
        selector=known.selector,
        is_at_zero=known.is_at_zero,
    )
