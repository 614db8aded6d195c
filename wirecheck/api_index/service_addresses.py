"""The addresses of Services, each with the Service and what the API calls it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, api_address
from wirecheck.api_index.service import cluster_ips
from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.objects.service import ServiceObject

CLUSTER_IP, EXTERNAL_IP, VIP = "cluster IP", "externalIPs", "load balancer address"


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """An address of a Service."""

    service: Ref
    kind: str
    """`cluster IP`, `externalIPs`, `load balancer address`."""

    @property
    def is_cluster_ip(self) -> bool:
        return self.kind == CLUSTER_IP

    def __str__(self) -> str:
        """`externalIPs of Service edge/nginx`."""
        return f"{self.kind} of {self.service}"


@dataclass(frozen=True)
class ServiceAddresses:
    """All addresses of the cluster's Services."""

    services: Iterable[ServiceObject]

    @cached_property
    def by_address(self) -> Mapping[IPAddress, ServiceAddress]:
        """The first Service that has the address; one that is not valid is left out."""
        found: dict[IPAddress, ServiceAddress] = {}
        for service in self.services:
            for text, kind in _listed(service):
                if (where := api_address(text)) is not None:
                    metadata = service.metadata
                    ref = Ref("Service", metadata.name, metadata.namespace, uid=metadata.uid)
                    found.setdefault(where, ServiceAddress(ref, kind))
        return found

    @cached_property
    def cluster_ips(self) -> frozenset[IPAddress]:
        """The cluster IPs among them."""
        found = self.by_address.items()
        return frozenset(where for where, service in found if service.is_cluster_ip)

    @cached_property
    def without_load_balancers(self) -> frozenset[str]:
        """The cluster IPs and external IPs among them, as text."""
        found = self.by_address.items()
        return frozenset(str(where) for where, service in found if service.kind != VIP)


def _listed(service: ServiceObject) -> Iterator[tuple[str, str]]:
    yield from ((each, CLUSTER_IP) for each in cluster_ips(service))
    yield from ((each, EXTERNAL_IP) for each in service.spec.external_ips)
    yield from ((each.ip, VIP) for each in service.status.load_balancer.ingress)
