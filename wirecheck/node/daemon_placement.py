"""Whether a DaemonSet of the cluster's network has to run on a node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wirecheck.api_index.daemon_sets import ADDED, ADDED_ON_HOST_NETWORK, EFFECTS, why_not_on
from wirecheck.api_index.node_kinds import kind_of, why_left_out
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.objects.node import NodeObject

USUALLY_TOLERATED = frozenset(
    {
        *ADDED,
        ADDED_ON_HOST_NETWORK,
        "node-role.kubernetes.io/control-plane",
        "node-role.kubernetes.io/master",
        "node.cloudprovider.kubernetes.io/uninitialized",
    }
)
"""Taints that say nothing about the DaemonSets of a cluster's network: they tolerate these."""

EDGE = "node-role.kubernetes.io/edge"
"""The label of nodes outside of the cluster's network, which KubeEdge connects."""


@dataclass(frozen=True)
class Placement:
    """What is known about a DaemonSet on one node."""

    left_out: str = ""
    """Why none of its pods belongs on the node; empty if one does, or if that is unknown."""
    unknown: str = ""
    """Why it cannot be decided; empty if it can."""


def placement(seen: NodeSeen, is_meant: Callable[[str, str], bool]) -> Placement:
    """Decide whether a DaemonSet whose namespace and name are meant must have a pod on the node.

    Recordings without DaemonSets show only the node: its kind, and taints that no node with a pod
    of the DaemonSet has.
    """
    node = seen.object
    if not kind_of(node).has_machine:
        return Placement(left_out=why_left_out(node))
    found = [
        each
        for each in seen.cluster.api.daemon_sets
        if is_meant(each.metadata.namespace, each.metadata.name)
        and not each.metadata.deletion_timestamp
    ]
    if found:
        reasons = [(each.metadata, why_not_on(each, node)) for each in found]
        if not all(reason for _, reason in reasons):
            return Placement()
        meta, reason = reasons[0]
        name = f"{meta.namespace}/{meta.name}"
        return Placement(left_out=f"DaemonSet {name} leaves {seen.name} out: {reason}")
    if why := why_left_out(node):
        return Placement(left_out=why)
    return Placement(unknown=_why_unknown(seen, is_meant))


def _why_unknown(seen: NodeSeen, is_meant: Callable[[str, str], bool]) -> str:
    """Return what may keep the DaemonSet away from the node; empty if nothing shows that."""
    if EDGE in seen.object.metadata.labels:
        return f"a node with the label {EDGE}; the DaemonSet was not read"
    if not seen.pods and seen.document is None:
        return "a node that was not visited, and no pod on it is known; the DaemonSet was not read"
    tolerated: set[str] = set(USUALLY_TOLERATED)
    for name, node in seen.cluster.nodes.items():
        pods = seen.cluster.pod_index.by_node.get(name, ())
        sets = ((pod.namespace, pod.ref.workload.removeprefix("DaemonSet/")) for pod in pods)
        if any(is_meant(*each) for each in sets):
            tolerated |= _taints_of(node)
    for key in sorted(_taints_of(seen.object) - tolerated):
        return f"the taint {key}, which the DaemonSet may not tolerate; it was not read"
    return ""


def _taints_of(node: NodeObject) -> set[str]:
    return {taint.key for taint in node.spec.taints if taint.effect in EFFECTS}
