"""DNS as one node and its pods see it: what they were answered, and their resolv.conf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from wirecheck.addresses import IPAddress
from wirecheck.findings import FactMissingError
from wirecheck.model.answer_times import AnswerTimes
from wirecheck.model.lookup import Lookup
from wirecheck.model.pod import Pod
from wirecheck.model.resolver import Resolver
from wirecheck.parse.resolv_conf import parse_resolv_conf

if TYPE_CHECKING:
    from wirecheck.model.node import Node


@dataclass(frozen=True)
class NodeDns:
    """Lookups and resolvers of one node."""

    node: Node

    @property
    def resolvers(self) -> Iterator[tuple[Pod, Resolver]]:
        """Each pod's resolv.conf. Raises, after all others, for those that were not read."""
        refused = []
        dns = self.node.cluster.dns
        for pod in self.node.pods:
            processes = self.node.processes_of(pod)
            if not pod.is_running or processes is None:
                continue
            file = processes.resolv_conf
            if not file.refused:
                conf = parse_resolv_conf(file.text)
                yield pod, Resolver(pod, conf, dns.domain, dns.service_addresses)
            elif pod.ref.object_key not in self.node.cluster.changed:
                refused.append(f"{pod.namespace}/{pod.name}: {file.refused}")
        if refused:
            raise FactMissingError(
                f"/etc/resolv.conf of {len(refused)} pods was not read; {refused[0]}"
            )

    @cached_property
    def _lookups_by_netns(self) -> Mapping[int, tuple[Lookup, ...]]:
        lookups: dict[int, list[Lookup]] = {}
        for probe in self.node.seen.probes:
            question = self.node.cluster.index.queries.get(probe.query)
            if question is None:
                raise FactMissingError(
                    f"The snapshot does not say what query {probe.query!r} asked."
                )
            lookup = Lookup(question, probe, self.node.cluster.names.expected(question))
            lookups.setdefault(probe.inode, []).append(lookup)
        return {inode: tuple(each) for inode, each in lookups.items()}

    def pod_lookups(self, transport: str) -> Iterator[tuple[Pod, Lookup]]:
        """What each pod's netns was answered at the DNS Service addresses."""
        silent = []
        for pod, netns in self.node.wired_pods:
            lookups = [
                each
                for each in self._lookups_by_netns.get(netns.inode, ())
                if each.transport == transport
            ]
            if not lookups:
                silent.append(f"{pod.namespace}/{pod.name}")
            redirect = "redirect rules in the pod's own netns" if netns.record.redirect else ""
            for lookup in lookups:
                yield replace(pod, shield=pod.shield or redirect), lookup
        if silent:
            raise FactMissingError(
                f"Nothing was asked from {len(silent)} pods, such as {silent[0]}."
            )

    @property
    def service_lookups(self) -> Iterator[Lookup]:
        """What the node itself was answered at the DNS Service addresses."""
        yield from self._host_lookups(self.node.cluster.dns.service_addresses)

    @property
    def replica_lookups(self) -> Iterator[tuple[Pod, Lookup]]:
        """What each DNS replica answered the node about the API server's name."""
        for replica, lookup in self._lookups_at_replicas():
            if lookup.is_of(self.node.cluster.dns.probe_name):
                yield replica, lookup

    @property
    def name_lookups(self) -> Iterator[tuple[Pod, Lookup]]:
        """What each DNS replica answered the node about other names."""
        for replica, lookup in self._lookups_at_replicas():
            if not lookup.is_of(self.node.cluster.dns.probe_name):
                yield replica, lookup

    @property
    def answer_times(self) -> AnswerTimes | None:
        """Of the tries over UDP that were answered, from all netns of the node."""
        if not self.node.seen.probes:
            raise FactMissingError(f"No DNS query was sent on {self.node.name}.")
        return AnswerTimes.of(
            [
                probe.tries[-1].seconds
                for probe in self.node.seen.probes
                if probe.transport == "udp" and probe.tries and probe.tries[-1].answer
            ]
        )

    def _lookups_at_replicas(self) -> Iterator[tuple[Pod, Lookup]]:
        for replica in self.node.cluster.dns.replicas:
            for lookup in self._host_lookups(replica.addresses):
                yield replica, lookup

    def _host_lookups(self, servers: frozenset[IPAddress]) -> Iterator[Lookup]:
        for lookup in self._lookups_by_netns.get(self.node.host.inode, ()):
            if lookup.server in servers:
                yield lookup
