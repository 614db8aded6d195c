"""Pods that a node's network is made of, beside those of the CNI plugin."""

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
"""How the names of their DaemonSets begin: a cluster may have one for each kind of node."""

VIRTUAL = "virtual-kubelet.io/provider"
"""The taint of nodes that are no machine."""


@dataclass(frozen=True)
class NetworkDaemon:
    """A part of the network, and its pods on one node."""

    name: str
    pods: tuple[Pod, ...]


def network_daemons_of(seen: NodeSeen) -> Iterator[NetworkDaemon]:
    """Those that a DaemonSet brings to any node. Raises NotApplicable where there is none."""
    if seen.is_being_removed or any(taint.key == VIRTUAL for taint in seen.object.spec.taints):
        raise NotApplicable("the node is being removed, or is no machine")
    found = False
    for name, prefixes in BY_NAME.items():
        starts = tuple(f"DaemonSet/{prefix}" for prefix in prefixes)
        if any(workload.startswith(starts) for workload in seen.cluster.pod_index.workloads):
            found = True
            mine = tuple(pod for pod in seen.pods if pod.ref.workload.startswith(starts))
            yield NetworkDaemon(name, mine)
    if not found:
        raise NotApplicable("no DaemonSet brings kube-proxy or a DNS cache to the nodes")
