"""Pods of the DaemonSets that a node's network needs besides the CNI plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from wirecheck.api_index.node_kinds import kind_of
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.node.daemon_placement import placement
from wirecheck.node.kube_proxy_pods import KUBE_PROXY, is_kube_proxy
from wirecheck.node.kube_proxy_pods import NAMESPACE as OF_KUBE_PROXY
from wirecheck.node.seen import NodeSeen


@dataclass(frozen=True, slots=True)
class DaemonKind:
    """A daemon, and how its DaemonSets and pods are recognised."""

    name: str
    prefixes: tuple[str, ...]
    """Of its DaemonSets' names: a cluster may have one for each kind of node."""
    namespace: str = ""
    """Where its DaemonSets are; empty if they may be anywhere."""
    is_own: Callable[[Pod], bool] = lambda _: True

    def is_daemon_set(self, namespace: str, name: str) -> bool:
        """Return whether a DaemonSet runs the daemon, by its name."""
        return self.namespace in ("", namespace) and name.startswith(self.prefixes)

    def is_pod(self, pod: Pod) -> bool:
        """Return whether the pod runs the daemon: on the host network, whose rules it writes."""
        kind, _, name = pod.ref.workload.partition("/")
        is_daemon = kind == "DaemonSet" and self.is_daemon_set(pod.namespace, name)
        return is_daemon and pod.on_host_network and self.is_own(pod)


KINDS = (
    DaemonKind(KUBE_PROXY, (KUBE_PROXY,), OF_KUBE_PROXY, is_kube_proxy),
    DaemonKind("NodeLocal DNSCache", ("node-local-dns", "nodelocaldns")),
)


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
    for kind in KINDS:
        if not any(map(kind.is_pod, seen.cluster.pod_index.host_daemons.values())):
            continue
        where = placement(seen, kind.is_daemon_set)
        mine = tuple(pod for pod in seen.pods if kind.is_pod(pod))
        if where.left_out and not mine:
            left_out = where.left_out
            continue
        found = True
        yield NetworkDaemon(kind.name, mine, where.unknown)
    if not found:
        raise NotApplicable(left_out or "no DaemonSet runs kube-proxy or NodeLocal DNSCache")
