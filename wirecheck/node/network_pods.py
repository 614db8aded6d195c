"""Pods of the DaemonSets that a node's network needs besides the CNI plugin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from wirecheck.api_index.node_kinds import kind_of
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.node.daemon_placement import placement
from wirecheck.node.seen import NodeSeen

BY_NAME = {
    "kube-proxy": ("kube-proxy",),
    "NodeLocal DNSCache": ("node-local-dns", "nodelocaldns"),
}
"""Prefixes of their DaemonSets' names: a cluster may have one for each kind of node."""


@dataclass(frozen=True)
class NetworkDaemon:
    """A network daemon, and its pods on one node."""

    name: str
    pods: tuple[Pod, ...]
    unknown: str = ""
    """Why it is unknown whether the node must have a pod; empty if it must."""


def network_daemons_of(seen: NodeSeen) -> Iterator[NetworkDaemon]:
    """Yield the daemons that the cluster's DaemonSets run on the node.

    Raises NotApplicable if there are none, or if all of them leave the node out.
    """
    if seen.is_being_removed or not kind_of(seen.object).has_machine:
        raise NotApplicable("the node is being removed, or has no machine")
    found, left_out = False, ""
    for name, prefixes in BY_NAME.items():
        starts = tuple(f"DaemonSet/{prefix}" for prefix in prefixes)
        if not any(workload.startswith(starts) for workload in seen.cluster.pod_index.workloads):
            continue
        where = placement(seen, partial(_starts_with, prefixes))
        mine = tuple(pod for pod in seen.pods if pod.ref.workload.startswith(starts))
        if where.left_out and not mine:
            left_out = where.left_out
            continue
        found = True
        yield NetworkDaemon(name, mine, where.unknown)
    if not found:
        raise NotApplicable(left_out or "no DaemonSet runs kube-proxy or NodeLocal DNSCache")


def _starts_with(prefixes: tuple[str, ...], name: str) -> bool:
    return name.startswith(prefixes)
