"""What policies mean for one connection between two addresses."""

from __future__ import annotations

from dataclasses import dataclass

from wirecheck.addresses import IPAddress
from wirecheck.api_index.pod import Pod
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.policy.cluster_pods import ClusterPods
from wirecheck.policy.expected import ExpectedPolicies
from wirecheck.policy.peers import A_NODE, Outside, Peer, PodClass, is_peer
from wirecheck.policy.preview import Preview
from wirecheck.policy.reach import Answer, Decision
from wirecheck.snapshot.objects.network_policy import NetworkPolicyObject


@dataclass(frozen=True)
class Connections:
    """The policies of a cluster, asked about connections after translation."""

    cluster: ClusterSeen
    expected: ExpectedPolicies

    @classmethod
    def of(cls, cluster: ClusterSeen) -> Connections:
        """As the cluster is: the same object for every node of the round."""
        return cluster.kept(cls, lambda: cls(cluster, ClusterPods.of(cluster).expected))

    @classmethod
    def assuming(
        cls, cluster: ClusterSeen, policies: tuple[NetworkPolicyObject, ...]
    ) -> Connections:
        """As if these policies were applied, in place of those with the same name."""
        pods = tuple(cluster.pods)
        return cls(cluster, Preview(cluster.api, pods, policies, cluster.unread_policies).after)

    def answer(
        self, source: IPAddress, target: IPAddress, protocol: str, port: int
    ) -> Answer | None:
        """What they mean; None if neither end is a pod with a network of its own."""
        pods = self._pod_with(source), self._pod_with(target)
        if pods[0] is not None and pods[0] is pods[1]:
            return Answer(Decision.ALLOWED, "a pod can always reach itself")
        ends = self._peer(source, pods[0]), self._peer(target, pods[1])
        if not any(isinstance(each, PodClass) and not each.on_host_network for each in ends):
            return None
        for pod in pods:
            if pod is not None and not is_peer(pod):
                reason = f"pod {pod.namespace}/{pod.name} does not run or has no address"
                return Answer(Decision.INCONCLUSIVE, reason)
        return self.expected.reach(*ends).answer(protocol.upper(), port)

    def allow(self, source: IPAddress, target: IPAddress, protocol: str, port: int) -> bool:
        """Whether they allow it for certain, or are not about it."""
        found = self.answer(source, target, protocol, port)
        return found is None or found.decision is Decision.ALLOWED

    def _pod_with(self, where: IPAddress) -> Pod | None:
        """The only pod with the address; several are on the host network of a node."""
        found = self.cluster.pod_index.by_address.get(where, ())
        return found[0] if len(found) == 1 and not found[0].on_host_network else None

    def _peer(self, where: IPAddress, pod: Pod | None) -> Peer:
        if pod is not None:
            return self.expected.vocabulary.class_of(pod)
        if where.is_unspecified or where in self.cluster.node_index.by_any_address:
            return A_NODE
        return Outside(self.expected.vocabulary.block_map.covering([where]))
