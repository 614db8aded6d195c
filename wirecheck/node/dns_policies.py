"""Policies that may be the reason for a DNS query without an answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wirecheck.api_index.allowed_dns import DnsDestination
from wirecheck.api_index.dns_lookup import Lookup
from wirecheck.api_index.pod import Pod
from wirecheck.node.dns_servers import DnsServers
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError


@dataclass(frozen=True)
class DnsPolicies:
    """The policies that restrict the pods of one node, as far as their DNS queries go."""

    seen: NodeSeen
    servers: DnsServers

    def why_lost(self, pod: Pod, lookup: Lookup) -> str:
        """Return the policy that may have stopped the pod's query; empty if none can have.

        A policy drops or refuses what it does not allow. It does not make up an answer.
        """
        if not pod.restricted_by or (not lookup.is_unanswered and not _is_refused(lookup)):
            return ""
        policies = self.seen.cluster.pod_index.policies
        return policies.dns_of(pod.object, list(self.destinations(lookup)))

    def destinations(self, lookup: Lookup) -> Iterator[DnsDestination]:
        """Where the query can arrive: at the replicas if it was sent to their Service."""
        cluster, server = self.seen.cluster, lookup.server
        protocol, port = lookup.transport.upper(), lookup.probe.port
        if server in self.servers.bound or server not in cluster.dns.service_addresses:
            pods = cluster.pod_index.by_address.get(server, ())
            pod = pods[0].object if pods and server not in self.servers.bound else None
            yield DnsDestination(server, port, protocol, pod)
            return
        for replica in cluster.dns.replicas:
            target = cluster.cluster_dns.port_of(replica.object, protocol)
            for each in replica.addresses:
                if each.version == server.version:
                    yield DnsDestination(each, target, protocol, replica.object)


def _is_refused(lookup: Lookup) -> bool:
    try:
        return lookup.answer is not None and lookup.answer.rcode == "REFUSED"
    except ParseError:
        return False
