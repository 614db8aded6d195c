"""Pods of the DaemonSets that a node's network needs besides the CNI plugin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.node.seen import NodeSeen

BY_NAME = {
    "kube-proxy": ("kube-proxy",),
    "NodeLocal DNSCache": ("node-local-dns", "nodelocaldns"),
}
"""Prefixes of their DaemonSets' names: a cluster may have one for each kind of node."""

VIRTUAL = "virtual-kubelet.io/provider"
"""The taint of virtual nodes, which have no host."""


@dataclass(frozen=True)
class NetworkDaemon:
    """A network daemon, and its pods on one node."""

    name: str
    pods: tuple[Pod, ...]


def network_daemons_of(seen: NodeSeen) -> Iterator[NetworkDaemon]:
    """Yield the daemons that the cluster runs as DaemonSets. Raises NotApplicable without any."""
    if seen.is_being_removed or any(taint.key == VIRTUAL for taint in seen.object.spec.taints):
        raise NotApplicable("the node is being removed, or is virtual")
    found = False
    for name, prefixes in BY_NAME.items():
        starts = tuple(f"DaemonSet/{prefix}" for prefix in prefixes)
        if any(workload.startswith(starts) for workload in seen.cluster.pod_index.workloads):
            found = True
            mine = tuple(pod for pod in seen.pods if pod.ref.workload.startswith(starts))
            yield NetworkDaemon(name, mine)
    if not found:
        raise NotApplicable("no DaemonSet runs kube-proxy or NodeLocal DNSCache")
