"""What one node shows of the cluster's DNS: servers, domain, and the files of its pods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress
from wirecheck.api_index.dns_lookup import Lookup
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.dns_domain import DnsDomain, answered_domain, searched_domain
from wirecheck.node.dns_servers import CACHE_DEVICE, USUAL_CACHE, DnsServers
from wirecheck.node.foreign_addresses import OF_PROXIES
from wirecheck.node.kubelet_dns import known_kubelet_dns
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.resolver import CLUSTER_POLICIES, Resolver, mounts_own_file
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.resolv_conf import parse_resolv_conf
from wirecheck.snapshot.attempts import Probe
from wirecheck.snapshot.node_document import PodFile
from wirecheck.text import plural

OWN_SERVER = "own server"
FURTHER_SERVERS = ("local cache", OWN_SERVER)
"""Purposes of queries to servers that only the node knows: its cache, and what its pods use."""


@dataclass(frozen=True)
class DnsKnown:
    """Servers, domain and resolvers of one node."""

    seen: NodeSeen
    namespaces: PodNamespaces

    @property
    def resolvers(self) -> Iterator[tuple[Pod, Resolver]]:
        """The resolv.conf of each pod that does not mount its own.

        Raises FactMissingError at the end if some could not be read, and NotApplicable if no pod
        runs on the node.
        """
        unread = []
        self.namespaces.require_pods()
        if not any(pod.is_running for pod in self.seen.pods):
            raise NotApplicable("no pod runs on the node")
        for pod, file in self._files():
            if not file.refused:
                conf = parse_resolv_conf(file.text)
                known = self.seen.cluster.api.mounts_read
                yield pod, Resolver(pod, conf, self.domain.accepted, self.servers, known)
            elif pod.ref.object_key not in self.seen.cluster.changed:
                unread.append(f"{pod.namespace}/{pod.name}: {file.refused}")
        if unread:
            raise FactMissingError(
                f"/etc/resolv.conf of {plural(len(unread), 'pod')} could not be read; {unread[0]}"
            )

    def _files(self) -> Iterator[tuple[Pod, PodFile]]:
        for pod in self.seen.pods:
            processes = self.namespaces.processes_of(pod)
            if pod.is_running and processes is not None and not mounts_own_file(pod):
                yield pod, processes.resolv_conf

    @cached_property
    def servers(self) -> DnsServers:
        """The servers that pods of the node may use."""
        dns, interfaces = self.seen.cluster.dns, self.seen.host.interfaces
        own = [each for each in interfaces if each.name == CACHE_DEVICE]
        # In IPVS mode the node has the address of every Service, whatever that is for.
        bound = [each.addresses for each in interfaces if each.name not in OF_PROXIES]
        return DnsServers(
            services=dns.service_addresses,
            others=dns.other_addresses,
            handed_out=known_kubelet_dns(self.seen).servers,
            bound=frozenset().union(*bound),
            caches=USUAL_CACHE.union(*(each.addresses for each in own)),
            answering=self._answering,
        )

    @cached_property
    def domain(self) -> DnsDomain:
        """The cluster's domain, as far as it is known."""
        served = self.seen.cluster.dns.zones
        return DnsDomain(
            served=served,
            kubelet=known_kubelet_dns(self.seen).domain.lower(),
            answered_otherwise=self.seen.cluster.dns.answered_otherwise,
            # Costly and needless if the Corefile shows the domains.
            answered=frozenset() if served else self._answered_domains,
            searched=frozenset() if served else self._searched_domains,
        )

    @property
    def _answered_domains(self) -> frozenset[str]:
        found = map(answered_domain, self._evaluable("", *FURTHER_SERVERS))
        return frozenset(filter(None, found))

    @property
    def _searched_domains(self) -> frozenset[str]:
        return frozenset(
            domain
            for pod, file in self._files()
            if pod.dns_policy in CLUSTER_POLICIES
            for domain in [searched_domain(parse_resolv_conf(file.text), pod.namespace)]
            if domain
        )

    @property
    def _answering(self) -> frozenset[IPAddress]:
        """The servers besides the DNS Services that gave a correct answer."""
        found = self._evaluable(*FURTHER_SERVERS)
        return frozenset(each.server for each in found if not each.problem)

    def _evaluable(self, *purposes: str) -> Iterator[Lookup]:
        """The lookups that were made and whose answers the API implies."""
        for probe in self.seen.probes:
            if probe.purpose in purposes and probe.tries:
                with suppress(FactMissingError):
                    yield self.expecting(probe)

    @property
    def why_services_unused(self) -> str:
        """Why no answer of the DNS Services is expected; empty if one is.

        A cluster can keep the Service of a DNS that it no longer uses, without pods behind it.
        """
        dns = self.seen.cluster.dns
        if not self.servers.bypass_services or dns.replicas:
            return ""
        caches = self.servers.bound & self.servers.handed_out_addresses
        if caches and not (dns.is_at_zero and caches <= self.servers.answering):
            return ""  # The node's cache may have no other source than the DNS Service.
        return f"the kubelet gives pods the server {', '.join(self.servers.handed_out)}"

    def expecting(self, probe: Probe) -> Lookup:
        """The query with the answer that the API implies, whatever domain it was planned in."""
        question = self.question(probe.query)
        return Lookup(question, probe, self.seen.cluster.names.expected(question))

    def question(self, query: str) -> str:
        """`NAME TYPE` of a query by its id. Raises FactMissingError without one."""
        question = self.seen.cluster.index.queries.get(query)
        if question is None:
            raise FactMissingError(
                f"The snapshot has no question for query {query!r}: it is incomplete. "
                "Collect it again."
            )
        return question
