"""The pods of a cluster as ends of connections: each address with the class of its pod."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from wirecheck.addresses import IPAddress
from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.node_addresses import all_addresses
from wirecheck.api_index.pod import Pod
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.policy.expected import ExpectedPolicies
from wirecheck.policy.peers import Peer, PodClass
from wirecheck.policy.reach import Direction, Reach, both


class PodAddress(NamedTuple):
    """One address of a pod with a network of its own."""

    address: IPAddress
    of: PodClass
    pod: Pod


@dataclass(frozen=True)
class ClusterPods:
    """What the policies of a cluster mean for its pods; kept for all nodes of a round."""

    cluster: ClusterSeen

    @classmethod
    def of(cls, cluster: ClusterSeen) -> ClusterPods:
        """The same object for every node of the round."""
        return cluster.kept(cls, lambda: cls(cluster))

    @cached_property
    def expected(self) -> ExpectedPolicies:
        """What the policies mean."""
        return ExpectedPolicies.of(self.cluster.api, unread=self.cluster.unread_policies)

    @cached_property
    def by_node(self) -> Mapping[tuple[str, int], Sequence[PodAddress]]:
        """The addresses of running pods by node and family.

        Addresses of several pods are left out: rules for one of them are rules for the other.
        """
        by_address = self.cluster.pod_index.by_address
        class_of = self.expected.vocabulary.class_of
        return grouped(
            ((pod.node_name, address.version), PodAddress(address, class_of(pod), pod))
            for pod in self.cluster.pods
            if pod.has_own_netns
            for address in sorted(pod.addresses, key=int)
            if len(by_address.get(address, ())) == 1
        )

    @cached_property
    def assigned(self) -> frozenset[IPAddress]:
        """The addresses of all pods, also of those that ended or are ending, and of nodes."""
        pods = self.cluster.pod_index.own + self.cluster.pod_index.helpers
        of_nodes = (each for node in self.cluster.api.nodes for each in all_addresses(node))
        return frozenset((*(a for pod in pods for a in pod.addresses), *of_nodes))

    def between(self, source: PodClass, target: PodClass) -> Reach:
        """What the source may send to the target, and the target may receive from it."""
        key = (source, target)
        if key not in self._between:
            sent = self.one_way(source, Direction.EGRESS, target)
            received = self.one_way(target, Direction.INGRESS, source)
            self._between[key] = both(sent, received) if sent is not received else sent
        return self._between[key]

    def is_isolated(self, subject: PodClass, direction: Direction) -> bool:
        """Whether a policy isolates the pods for the direction, or may do so."""
        isolation = self.expected.isolation
        return bool(
            isolation.selecting(subject, direction)
            or isolation.beside(subject, direction)[0]
            or self.expected.tiers_of(subject, direction)
        )

    def one_way(self, subject: PodClass, direction: Direction, other: Peer) -> Reach:
        """What the policies of the subject allow; equal ones are one object."""
        key = (subject, direction, other)
        if key not in self._one_way:
            reach = self.expected.one_way(subject, direction, other)
            self._one_way[key] = self._same.setdefault(reach, reach)
        return self._one_way[key]

    @cached_property
    def _one_way(self) -> dict[tuple[PodClass, Direction, Peer], Reach]:
        return {}

    @cached_property
    def _same(self) -> dict[Reach, Reach]:
        return {}

    @cached_property
    def _between(self) -> dict[tuple[PodClass, PodClass], Reach]:
        return {}
