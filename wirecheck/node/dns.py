"""DNS as one node and its pods see it: what they were answered, and their resolv.conf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.dns_lookup import ExternalLookup, Lookup, second_of
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.answer_times import AnswerTimes
from wirecheck.node.dns_samples import Sample, Samples
from wirecheck.node.netns import Netns
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.resolver import Resolver
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.resolv_conf import parse_resolv_conf
from wirecheck.snapshot.attempts import Probe

CACHE_DEVICE = "nodelocaldns"
USUAL_CACHE = frozenset({address("169.254.20.10")})
"""Where NodeLocal DNSCache listens by convention, beside the Service's address."""


@dataclass(frozen=True)
class NodeDns:
    """Lookups and resolvers of one node."""

    seen: NodeSeen
    namespaces: PodNamespaces

    @property
    def resolvers(self) -> Iterator[tuple[Pod, Resolver]]:
        """Each pod's resolv.conf. Raises, after all others, for those that were not read."""
        refused = []
        dns = self.seen.cluster.dns
        for pod in self.seen.pods:
            processes = self.namespaces.processes_of(pod)
            if not pod.is_running or processes is None:
                continue
            file = processes.resolv_conf
            if not file.refused:
                conf = parse_resolv_conf(file.text)
                yield (
                    pod,
                    Resolver(
                        pod, conf, dns.domain, dns.service_addresses, self.local_cache_addresses
                    ),
                )
            elif pod.ref.object_key not in self.seen.cluster.changed:
                refused.append(f"{pod.namespace}/{pod.name}: {file.refused}")
        if refused:
            raise FactMissingError(
                f"/etc/resolv.conf of {len(refused)} pods was not read; {refused[0]}"
            )

    @cached_property
    def local_cache_addresses(self) -> frozenset[IPAddress]:
        """Where NodeLocal DNSCache listens on the node, or would."""
        own = [each for each in self.seen.host.interfaces if each.name == CACHE_DEVICE]
        return USUAL_CACHE.union(*(each.addresses for each in own))

    @property
    def server_addresses(self) -> frozenset[IPAddress]:
        """All that a pod may rightly ask."""
        return self.seen.cluster.dns.service_addresses | self.local_cache_addresses

    @cached_property
    def _lookups_by_netns(self) -> Mapping[int, tuple[Lookup, ...]]:
        """Of the names that are asked everywhere, and of those of Services."""
        lookups: dict[int, list[Lookup]] = {}
        for probe in self.seen.facts.probes:
            if not probe.purpose:
                lookups.setdefault(probe.inode, []).append(self._lookup(probe))
        return {inode: tuple(each) for inode, each in lookups.items()}

    def _lookup(self, probe: Probe) -> Lookup:
        question = self._question(probe.query)
        return Lookup(question, probe, self.seen.cluster.names.expected(question))

    def _question(self, query: str) -> str:
        question = self.seen.cluster.index.queries.get(query)
        if question is None:
            raise FactMissingError(f"The snapshot does not say what query {query!r} asked.")
        return question

    def _sent_for(self, purpose: str, otherwise: str) -> list[Probe]:
        """What was asked for the purpose; raises NotApplicable, for the reason, if nothing was."""
        probes = [each for each in self.seen.facts.probes if each.purpose == purpose]
        if not probes:
            raise NotApplicable(f"{otherwise}, or it was not looked at")
        return probes

    def _of_answered(self, probes: Iterable[Probe]) -> list[Probe]:
        """Those that were sent where the usual question was answered, the same way.

        Where it was not, that is the fault, and has checks of its own. Raises NotApplicable
        where none are left.
        """
        ways = {
            (each.inode, each.server, each.transport)
            for each in self.seen.facts.probes
            if not each.purpose and each.tries and each.tries[-1].answer
        }
        found = [each for each in probes if (each.inode, each.server, each.transport) in ways]
        if not found:
            raise NotApplicable("not even the usual question was answered, which others judge")
        return found

    @property
    def samples(self) -> Samples:
        """Single queries to the replicas that answered some of them."""
        probes = self._sent_for("sample", "there is no DNS replica to send queries to")
        found = []
        for replica in self.seen.cluster.dns.replicas:
            sent = [p for p in probes if p.tries and address(p.server) in replica.addresses]
            lost = sum(not each.tries[-1].answer for each in sent)
            if lost < len(sent):
                found.append(Sample(replica, len(sent), lost))
        if not found:
            raise NotApplicable("no replica answered any query, which dns.replicas_answer judges")
        return Samples(found)

    @property
    def pairs(self) -> Iterator[tuple[Pod, Lookup, Lookup]]:
        """What pods were answered that asked for both families by one socket."""
        probes = self._of_answered(
            self._sent_for("pair", "no pod has a network namespace of its own")
        )
        pods = {netns.inode: (pod, netns) for pod, netns in self.namespaces.pods_with_netns}
        for probe in probes:
            if probe.inode in pods:
                second = second_of(probe)
                pod = _with_redirect(*pods[probe.inode])
                yield pod, self._lookup(probe), self._lookup(second)

    @property
    def unknown_names(self) -> Iterator[tuple[Pod, Lookup]]:
        """What each replica said of a name that no Service has."""
        probes = self._sent_for("unknown name", "there is no DNS replica to ask")
        yield from self._at_replicas(map(self._lookup, probes))

    @property
    def large_answers(self) -> Iterator[tuple[Pod, Lookup]]:
        """What each replica answered of a name with more addresses than a small datagram holds."""
        probes = self._sent_for("large answer", "no headless Service has 512 bytes of addresses")
        yield from self._at_replicas(map(self._lookup, self._of_answered(probes)))

    @property
    def outside(self) -> Iterator[tuple[Pod, ExternalLookup]]:
        """What each replica answered of names outside the cluster."""
        probes = self._sent_for(
            "external name", "the inventory names nothing in `dns.external_names`"
        )
        for probe in self._of_answered(probes):
            replica = self._replica_at(address(probe.server))
            if replica:
                yield replica, ExternalLookup(self._question(probe.query), probe)

    @property
    def cache_lookups(self) -> Iterator[Lookup]:
        """What NodeLocal DNSCache answered the node at addresses of its own."""
        probes = self._sent_for("local cache", "NodeLocal DNSCache has no address on this node")
        yield from map(self._lookup, probes)

    def _at_replicas(self, lookups: Iterable[Lookup]) -> Iterator[tuple[Pod, Lookup]]:
        for lookup in lookups:
            replica = self._replica_at(lookup.server)
            if replica:
                yield replica, lookup

    def _replica_at(self, server: IPAddress) -> Pod | None:
        replicas = self.seen.cluster.dns.replicas
        return next((each for each in replicas if server in each.addresses), None)

    def pod_lookups(self, transport: str) -> Iterator[tuple[Pod, Lookup]]:
        """What each pod's netns was answered at the DNS Service addresses."""
        silent = []
        for pod, netns in self.namespaces.pods_with_netns:
            lookups = [
                each
                for each in self._lookups_by_netns.get(netns.inode, ())
                if each.transport == transport
            ]
            if not lookups:
                silent.append(f"{pod.namespace}/{pod.name}")
            for lookup in lookups:
                yield _with_redirect(pod, netns), lookup
        if silent:
            raise FactMissingError(
                f"Nothing was asked from {len(silent)} pods, such as {silent[0]}."
            )

    @property
    def service_lookups(self) -> Iterator[Lookup]:
        """What the node itself was answered at the DNS Service addresses."""
        yield from self._host_lookups(self.seen.cluster.dns.service_addresses)

    @property
    def replica_lookups(self) -> Iterator[tuple[Pod, Lookup]]:
        """What each DNS replica answered the node about the API server's name."""
        for replica, lookup in self._lookups_at_replicas():
            if lookup.is_of(self.seen.cluster.dns.probe_name):
                yield replica, lookup

    @property
    def name_lookups(self) -> Iterator[tuple[Pod, Lookup]]:
        """What each DNS replica answered the node about other names."""
        for replica, lookup in self._lookups_at_replicas():
            if not lookup.is_of(self.seen.cluster.dns.probe_name):
                yield replica, lookup

    @property
    def answer_times(self) -> AnswerTimes | None:
        """Of the tries over UDP that were answered, from all netns of the node."""
        if not self.seen.facts.probes:
            raise FactMissingError(f"No DNS query was sent on {self.seen.name}.")
        return AnswerTimes.of(
            [
                probe.tries[-1].seconds
                for probe in self.seen.facts.probes
                if probe.transport == "udp"
                and probe.tries
                and probe.tries[-1].answer
                and probe.purpose != "external name"  # Upstream servers have their own times.
            ]
        )

    def _lookups_at_replicas(self) -> Iterator[tuple[Pod, Lookup]]:
        for replica in self.seen.cluster.dns.replicas:
            for lookup in self._host_lookups(replica.addresses):
                yield replica, lookup

    def _host_lookups(self, servers: frozenset[IPAddress]) -> Iterator[Lookup]:
        for lookup in self._lookups_by_netns.get(self.seen.host.inode, ()):
            if lookup.server in servers:
                yield lookup


def _with_redirect(pod: Pod, netns: Netns) -> Pod:
    """The pod, with what may rightly stop its traffic."""
    redirect = "redirect rules in the pod's own netns" if netns.record.redirect else ""
    return replace(pod, restricted_by=pod.restricted_by or redirect)
