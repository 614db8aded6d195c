"""The answers that the API implies for cluster names (the DNS specification of Kubernetes)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import dns.name
import dns.reversename

from wirecheck.addresses import IPAddress, address, addresses
from wirecheck.api_index.dns_lookup import ExpectedAnswer
from wirecheck.api_index.endpoint_slices import (
    SlicesByService,
    endpoints_with_addresses,
    is_ready,
)
from wirecheck.api_index.service import ServiceKey, cluster_ips
from wirecheck.catalogue.findings import FactMissingError, Ref
from wirecheck.parse.dns_answer import Answer
from wirecheck.snapshot.objects.service import ServiceObject

FAMILY_OF_TYPE = {"A": 4, "AAAA": 6}
NO_SUCH_NAME = Answer("NXDOMAIN", frozenset())


@dataclass(frozen=True)
class ServiceNames:
    """The DNS names of a cluster's Services."""

    domain: str
    services: Mapping[ServiceKey, ServiceObject]
    slices: SlicesByService

    def expected(self, question: str) -> ExpectedAnswer:
        """The answer to `NAME TYPE`; raises FactMissingError where the API implies none."""
        name, _, kind = question.rpartition(" ")
        if kind == "PTR":
            return self._reverse(name)
        # Whatever the domain: the query may have been planned for another one.
        labels = name.split(".", 3)
        if kind not in FAMILY_OF_TYPE or len(labels) != 4 or labels[2] != "svc":
            raise FactMissingError(f"The API does not determine the answer to {question}.")
        return self._service(labels[1], labels[0], FAMILY_OF_TYPE[kind])

    def _service(self, namespace: str, name: str, family: int) -> ExpectedAnswer:
        service = self.services.get((namespace, name))
        concerns = (Ref("Service", name, namespace),)
        if service is None:
            return ExpectedAnswer(NO_SUCH_NAME, concerns)
        if service.spec.cluster_ip != "None":
            return ExpectedAnswer(_answer(addresses(cluster_ips(service)), family), concerns)
        ready = self._ready_addresses(namespace, name)
        # CoreDNS derives a headless name from its endpoints: without one the name does not exist.
        return ExpectedAnswer(_answer(ready, family) if ready else NO_SUCH_NAME, concerns)

    def _ready_addresses(self, namespace: str, name: str) -> frozenset[IPAddress]:
        return addresses(
            each
            for endpoint in endpoints_with_addresses(self.slices.get((namespace, name), ()))
            if is_ready(endpoint)
            for each in endpoint.addresses
        )

    @cached_property
    def _by_cluster_ip(self) -> dict[IPAddress, ServiceObject]:
        return {each: s for s in self.services.values() for each in addresses(cluster_ips(s))}

    def _reverse(self, name: str) -> ExpectedAnswer:
        asked = address(dns.reversename.to_address(dns.name.from_text(name)))
        service = self._by_cluster_ip.get(asked)
        if service is None:
            raise FactMissingError(f"No Service has the address {asked} of the query.")
        meta = service.metadata
        canonical = f"{meta.name}.{meta.namespace}.svc.{self.domain}."
        return ExpectedAnswer(
            Answer("NOERROR", frozenset({canonical})), (Ref("Service", meta.name, meta.namespace),)
        )


def _answer(found: frozenset[IPAddress], family: int) -> Answer:
    return Answer("NOERROR", frozenset(str(each) for each in found if each.version == family))
