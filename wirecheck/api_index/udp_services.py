"""The frontends of UDP Services with all their endpoints, whatever the endpoints' conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from wirecheck.addresses import IPAddress
from wirecheck.api_index.endpoint_slices import SlicesByService, endpoints_with_addresses
from wirecheck.api_index.node_addresses import valid_addresses
from wirecheck.api_index.service import OTHER_PROXY, cluster_ips, has_cluster_ip, service_key
from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.service import ServiceObject

UDP = "UDP"

Key = TypeVar("Key")
Frontend = tuple[IPAddress, int]
"""Address and port."""


@dataclass(frozen=True, slots=True)
class UdpService:
    """One UDP port of a Service, or of several that claim the same frontend."""

    ref: Ref
    endpoints: frozenset[Frontend]


@dataclass(frozen=True)
class UdpServices:
    """The UDP ports of all Services that kube-proxy forwards."""

    services: Iterable[ServiceObject]
    slices: SlicesByService

    def at(self, where: IPAddress, port: int, *, is_local: bool) -> UdpService | None:
        """The Service at an address and port; `is_local` if the address is the node's own."""
        found = self._by_frontend.get((where, port))
        return found or (self._by_node_port.get(port) if is_local else None)

    @cached_property
    def _by_frontend(self) -> Mapping[Frontend, UdpService]:
        found: dict[Frontend, UdpService] = {}
        for service in filter(_is_forwarded, self.services):
            own = list(valid_addresses(_addresses(service)))
            for number, port in self._ports(service):
                for where in own:
                    _add(found, (where, number), port)
        return found

    @cached_property
    def _by_node_port(self) -> Mapping[int, UdpService]:
        found: dict[int, UdpService] = {}
        for service in filter(_is_forwarded, self.services):
            numbers = {p.port: p.node_port for p in service.spec.ports if p.protocol == UDP}
            for number, port in self._ports(service):
                if numbers[number]:
                    _add(found, numbers[number], port)
        return found

    def _ports(self, service: ServiceObject) -> Iterator[tuple[int, UdpService]]:
        metadata = service.metadata
        ref = Ref("Service", metadata.name, metadata.namespace, uid=metadata.uid)
        slices = self.slices.get(service_key(service), ())
        for each in service.spec.ports:
            if each.protocol == UDP:
                yield each.port, UdpService(ref, frozenset(_endpoints(slices, each.name)))


def _add(found: dict[Key, UdpService], key: Key, port: UdpService) -> None:
    first = found.get(key)
    merged = first and replace(first, endpoints=first.endpoints | port.endpoints)
    found[key] = merged or port


def _is_forwarded(service: ServiceObject) -> bool:
    return has_cluster_ip(service) and OTHER_PROXY not in service.metadata.labels


def _addresses(service: ServiceObject) -> Iterator[str]:
    yield from cluster_ips(service)
    yield from service.spec.external_ips
    # kube-proxy leaves addresses with ipMode Proxy to the load balancer.
    ingress = service.status.load_balancer.ingress
    yield from (each.ip for each in ingress if each.ip_mode != "Proxy")


def _endpoints(slices: Iterable[EndpointSliceObject], name: str) -> Iterator[Frontend]:
    for slice_ in slices:
        ports = [
            each.port
            for each in slice_.ports or ()
            if each.port and each.protocol == UDP and (each.name or "") == name
        ]
        for endpoint in endpoints_with_addresses([slice_]):
            for where in valid_addresses(endpoint.addresses):
                yield from ((where, port) for port in ports)
