"""The answers that the API implies for cluster names (the DNS specification of Kubernetes)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import dns.name
import dns.reversename

from wirecheck.addresses import IPAddress, address, addresses
from wirecheck.api_index.dns_lookup import Expected
from wirecheck.catalogue.findings import FactMissingError, Ref
from wirecheck.parse.dns_answer import Answer
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.service import ServiceObject

FAMILY_OF_TYPE = {"A": 4, "AAAA": 6}
NO_SUCH_NAME = Answer("NXDOMAIN", frozenset())


@dataclass(frozen=True)
class Names:
    """All names of one cluster's Services."""

    domain: str
    services: Mapping[tuple[str, str], ServiceObject]
    slices: Mapping[tuple[str, str], Iterable[EndpointSliceObject]]

    def expected(self, question: str) -> Expected:
        """The answer to `NAME TYPE`; raises FactMissingError for a question it cannot judge."""
        name, _, kind = question.rpartition(" ")
        if kind == "PTR":
            return self._reverse(name)
        labels = name.removesuffix(".").removesuffix(f".{self.domain}").split(".")
        if kind not in FAMILY_OF_TYPE or len(labels) != 3 or labels[2] != "svc":
            raise FactMissingError(f"No answer can be told from the API for {question}.")
        return self._service(labels[1], labels[0], FAMILY_OF_TYPE[kind])

    def _service(self, namespace: str, name: str, family: int) -> Expected:
        service = self.services.get((namespace, name))
        concerns = (Ref("Service", name, namespace),)
        if service is None:
            return Expected(NO_SUCH_NAME, concerns)
        if service.spec.cluster_ip != "None":
            return Expected(_answer(_cluster_ips(service), family), concerns)
        ready = self._ready_addresses(namespace, name)
        # CoreDNS knows a headless name by its endpoints alone: without one there is no name.
        return Expected(_answer(ready, family) if ready else NO_SUCH_NAME, concerns)

    def _ready_addresses(self, namespace: str, name: str) -> frozenset[IPAddress]:
        return addresses(
            each
            for slice_ in self.slices.get((namespace, name), ())
            if slice_.address_type != "FQDN"
            for endpoint in slice_.endpoints or ()
            if endpoint.conditions.ready is not False
            for each in endpoint.addresses
        )

    @cached_property
    def _by_cluster_ip(self) -> dict[IPAddress, ServiceObject]:
        return {each: s for s in self.services.values() for each in _cluster_ips(s)}

    def _reverse(self, name: str) -> Expected:
        asked = address(dns.reversename.to_address(dns.name.from_text(name)))
        service = self._by_cluster_ip.get(asked)
        if service is None:
            raise FactMissingError(f"No Service has the address {asked} that was asked for.")
        meta = service.metadata
        canonical = f"{meta.name}.{meta.namespace}.svc.{self.domain}."
        return Expected(
            Answer("NOERROR", frozenset({canonical})), (Ref("Service", meta.name, meta.namespace),)
        )


def _cluster_ips(service: ServiceObject) -> frozenset[IPAddress]:
    spec = service.spec
    if spec.cluster_ip in ("", "None"):
        return frozenset()
    return addresses([spec.cluster_ip, *spec.cluster_ips])


def _answer(found: frozenset[IPAddress], family: int) -> Answer:
    return Answer("NOERROR", frozenset(str(each) for each in found if each.version == family))
