"""DNS as one node and its pods see it: the answers they got, and their resolv.conf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.allowed_dns import DnsDestination
from wirecheck.api_index.dns_lookup import ExternalLookup, Lookup, second_of
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.answer_times import AnswerTimes
from wirecheck.node.dns_domain import DnsDomain, in_its_domain
from wirecheck.node.dns_known import OWN_SERVER, DnsKnown
from wirecheck.node.dns_policies import DnsPolicies
from wirecheck.node.dns_samples import Sample, Samples
from wirecheck.node.dns_servers import DnsServers
from wirecheck.node.netns import Netns
from wirecheck.node.pod_loss import PodLoss, PodQuery, pod_loss
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.redirects import redirect_in
from wirecheck.node.resolver import CLUSTER_POLICIES, Resolver, mounts_own_file
from wirecheck.node.seen import NodeSeen
from wirecheck.node.unread_policies import UnreadPolicies
from wirecheck.snapshot.attempts import Probe
from wirecheck.text import plural


@dataclass(frozen=True)
class NodeDns:
    """Lookups and resolvers of one node."""

    seen: NodeSeen
    namespaces: PodNamespaces

    @cached_property
    def _known(self) -> DnsKnown:
        return DnsKnown(self.seen, self.namespaces)

    @property
    def resolvers(self) -> Iterator[tuple[Pod, Resolver]]:
        """The resolv.conf of each pod that does not mount its own, as `DnsKnown.resolvers`."""
        yield from self._known.resolvers

    @property
    def servers(self) -> DnsServers:
        """The servers that pods of the node may use."""
        return self._known.servers

    @property
    def domain(self) -> DnsDomain:
        """The cluster's domain, as far as it is known."""
        return self._known.domain

    @property
    def why_services_unused(self) -> str:
        """Why no answer of the DNS Services is expected; empty if one is."""
        return self._known.why_services_unused

    @cached_property
    def _lookups_by_netns(self) -> Mapping[int, tuple[Lookup, ...]]:
        """The lookups without a special purpose, by the inode of their netns."""
        lookups: dict[int, list[Lookup]] = {}
        for probe in self.seen.probes:
            if not probe.purpose:
                lookups.setdefault(probe.inode, []).append(self._lookup(probe))
        return {inode: tuple(each) for inode, each in lookups.items()}

    def _lookup(self, probe: Probe) -> Lookup:
        """The query with the answer that the API implies, in the domain that is served."""
        lookup = self._known.expecting(probe)
        return in_its_domain(lookup, self.domain) if probe.tries else lookup

    def _sent_for(self, purpose: str, otherwise: str) -> list[Probe]:
        """Return the probes of one purpose. Raises NotApplicable with `otherwise` without any."""
        probes = [each for each in self.seen.probes if each.purpose == purpose]
        if not probes:
            raise NotApplicable(f"{otherwise}, or this was not probed")
        return probes

    def _of_answered(self, probes: Iterable[Probe]) -> list[Probe]:
        """Return the probes to servers that answered the usual question.

        Other checks report servers that did not. Raises NotApplicable if no server answered.
        """
        answered = {
            (each.inode, each.server, each.transport)
            for each in self.seen.probes
            if not each.purpose and each.tries and each.tries[-1].answer
        }
        found = [each for each in probes if (each.inode, each.server, each.transport) in answered]
        if not found:
            raise NotApplicable("no server answered the usual question, which other checks report")
        return found

    @property
    def samples(self) -> Samples:
        """Single queries to the replicas that answered at least one."""
        probes = self._sent_for("sample", "there is no DNS replica to send queries to")
        found = []
        for replica in self.seen.cluster.dns.replicas:
            sent = [p for p in probes if p.tries and address(p.server) in replica.addresses]
            lost = sum(not each.tries[-1].answer for each in sent)
            if lost < len(sent):
                found.append(Sample(replica, len(sent), lost))
        if not found:
            raise NotApplicable("no replica answered any query, which dns.replicas_answer reports")
        return Samples(found)

    @property
    def pod_loss(self) -> PodLoss | None:
        """Single queries of pods to replicas; None if there are none, as in older snapshots.

        Pods whose queries something may stop on purpose do not count, and none that changed
        meanwhile: a pod that is deleted loses what it sent last.
        """
        probes = [p for p in self.seen.probes if p.purpose == "pod sample" and p.tries]
        if not probes:
            return None
        changed = self.seen.cluster.changed
        pods = {
            netns.inode: self._with_redirect(pod, netns) for pod, netns in self._pods_with_netns
        }
        queries = []
        for probe in probes:
            pod, replica = pods.get(probe.inode), self._replica_at(address(probe.server))
            if not pod or not replica or pod.restricted_by:
                continue
            if not changed & {pod.ref.object_key, replica.ref.object_key}:
                queries.append(PodQuery(pod, replica, not probe.tries[-1].answer))
        return pod_loss(queries)

    @property
    def _pods_with_netns(self) -> Iterator[tuple[Pod, Netns]]:
        """Pods with their netns; other checks report those that could not be read."""
        with suppress(FactMissingError):
            yield from self.namespaces.pods_with_netns

    @property
    def pairs(self) -> Iterator[tuple[Pod, Lookup, Lookup]]:
        """The answers to pods that asked for A and AAAA records from one socket."""
        probes = self._of_answered(
            self._sent_for("pair", "no pod has a network namespace of its own")
        )
        pods = {netns.inode: (pod, netns) for pod, netns in self.namespaces.pods_with_netns}
        for probe in probes:
            if probe.inode in pods:
                second = second_of(probe)
                first = self._lookup(probe)
                yield self._with_reason(*pods[probe.inode], first), first, self._lookup(second)

    @property
    def unknown_names(self) -> Iterator[tuple[Pod, Lookup]]:
        """Each replica's answer about a name that does not exist."""
        probes = self._sent_for("unknown name", "there is no DNS replica to ask")
        yield from self._at_replicas(map(self._lookup, probes))

    @property
    def large_answers(self) -> Iterator[tuple[Pod, Lookup]]:
        """Each replica's answer about a name whose addresses exceed 512 bytes."""
        probes = self._sent_for("large answer", "no headless Service has 512 bytes of addresses")
        yield from self._at_replicas(map(self._lookup, self._of_answered(probes)))

    @property
    def external_lookups(self) -> Iterator[tuple[Pod, ExternalLookup]]:
        """Each replica's answers about names outside the cluster."""
        probes = self._sent_for(
            "external name", "the inventory names nothing in `dns.external_names`"
        )
        for probe in self._of_answered(probes):
            replica = self._replica_at(address(probe.server))
            if replica:
                yield replica, ExternalLookup(self._known.question(probe.query), probe)

    @property
    def cache_lookups(self) -> Iterator[Lookup]:
        """The answers of the node's own cache at its addresses."""
        probes = self._sent_for("local cache", "the node has no DNS cache of its own")
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
        """The answers that each pod's netns got from its DNS servers.

        Raises NotApplicable where pods use no server that was queried, and FactMissingError at the
        end if no query was sent from some pods.
        """
        if not tuple(self.namespaces.hidden):
            self.namespaces.require_own_netns()
        unasked = []
        for pod, netns in self.namespaces.pods_with_netns:
            asked = self._lookups_by_netns.get(netns.inode, ())
            own = self._lookups_at_handed_out(pod, netns)
            lookups = [each for each in (*asked, *own) if each.transport == transport]
            if self.why_services_unused:
                unused = self.seen.cluster.dns.service_addresses
                lookups = [each for each in lookups if each.server not in unused]
            if not lookups:
                unasked.append(f"{pod.namespace}/{pod.name}")
            for lookup in lookups:
                yield self._with_reason(pod, netns, lookup), lookup
        if unasked and self.why_services_unused:
            raise NotApplicable(self.why_services_unused)
        if unasked:
            raise FactMissingError(
                f"No query was sent from {plural(len(unasked), 'pod')}, such as {unasked[0]}: "
                "the visit ended early. Raise `limits.node` in the inventory."
            )

    def _lookups_at_handed_out(self, pod: Pod, netns: Netns) -> Iterator[Lookup]:
        """The pod's lookups at servers that the kubelet gave it.

        A server that the pod chose itself need not know the cluster's names.
        """
        if pod.dns_policy not in CLUSTER_POLICIES or mounts_own_file(pod):
            return
        for lookup in self._own_server_lookups.get(netns.inode, ()):
            if lookup.server in self.servers.handed_out_addresses:
                yield lookup

    @cached_property
    def _own_server_lookups(self) -> Mapping[int, list[Lookup]]:
        lookups: dict[int, list[Lookup]] = {}
        for probe in self.seen.probes:
            if probe.purpose == OWN_SERVER:
                lookups.setdefault(probe.inode, []).append(self._lookup(probe))
        return lookups

    @property
    def service_lookups(self) -> Iterator[Lookup]:
        """The answers that the node itself got from the DNS Service addresses."""
        servers = self.seen.cluster.dns.service_addresses
        if not servers:
            raise NotApplicable("the cluster has no usual DNS Service")
        if self.why_services_unused:
            raise NotApplicable(self.why_services_unused)
        yield from self._host_lookups(servers)

    @property
    def replica_lookups(self) -> Iterator[tuple[Pod, Lookup]]:
        """Each DNS replica's answers to the node about the API server's name.

        Raises NotApplicable without a replica, as the next one does.
        """
        for replica, lookup in self._lookups_at_replicas():
            if lookup.is_usual:
                yield replica, lookup

    @property
    def name_lookups(self) -> Iterator[tuple[Pod, Lookup]]:
        """Each DNS replica's answers to the node about other names."""
        for replica, lookup in self._lookups_at_replicas():
            if not lookup.is_usual:
                yield replica, lookup

    @property
    def answer_times(self) -> AnswerTimes | None:
        """The times of the answers over UDP, from all netns of the node."""
        if not self.seen.probes:
            raise FactMissingError(
                f"No DNS query was sent on {self.seen.name}: the visit ended early. Raise "
                "`limits.node` in the inventory."
            )
        return AnswerTimes.of(
            [
                probe.tries[-1].seconds
                for probe in self.seen.probes
                if probe.transport == "udp"
                and probe.tries
                and probe.tries[-1].answer
                # Upstream servers and a pod's own have their own latency.
                and probe.purpose not in ("external name", OWN_SERVER)
            ]
        )

    def destinations_of(self, lookup: Lookup) -> Sequence[DnsDestination]:
        """Where the query can arrive, after the translation of a Service's address."""
        return list(self._policies.destinations(lookup))

    @cached_property
    def _unread_policies(self) -> UnreadPolicies:
        return UnreadPolicies(self.seen, self.namespaces)

    def _with_reason(self, pod: Pod, netns: Netns, lookup: Lookup) -> Pod:
        """Return the pod with what may stop its traffic, such as a service mesh."""
        pod = replace(pod, restricted_by=self._policies.why_lost(pod, lookup))
        pod = self._with_redirect(pod, netns)
        reason = pod.restricted_by or self._unread_policies.why_lost(netns, lookup)
        return replace(pod, restricted_by=reason)

    def _with_redirect(self, pod: Pod, netns: Netns) -> Pod:
        """Return the pod with what may redirect its traffic, such as a service mesh."""
        if pod.restricted_by:
            return pod
        return replace(pod, restricted_by=redirect_in(netns.record, self.seen.facts.commands))

    @cached_property
    def _policies(self) -> DnsPolicies:
        return DnsPolicies(self.seen, self.servers)

    def _lookups_at_replicas(self) -> Iterator[tuple[Pod, Lookup]]:
        if not self.seen.cluster.dns.replicas:
            raise NotApplicable("there is no DNS replica; dns.replicas_ready reports that")
        for replica in self.seen.cluster.dns.replicas:
            for lookup in self._host_lookups(replica.addresses):
                yield replica, lookup

    def _host_lookups(self, servers: frozenset[IPAddress]) -> Iterator[Lookup]:
        for lookup in self._lookups_by_netns.get(self.seen.host.inode, ()):
            if lookup.server in servers:
                yield lookup
