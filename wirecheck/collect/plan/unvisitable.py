"""Nodes that cannot be visited, whatever the inventory says."""

from __future__ import annotations

from wirecheck.snapshot.objects.node import NodeObject

FARGATE = ("eks.amazonaws.com/compute-type", "fargate")
VIRTUAL = ("type", "virtual-kubelet")
VIRTUAL_TAINT = "virtual-kubelet.io/provider"


def why_unvisitable(node: NodeObject) -> str:
    """Why the node cannot be visited; empty if it can."""
    name, labels = node.metadata.name, node.metadata.labels
    system = node.status.node_info.operating_system or labels.get("kubernetes.io/os", "")
    if system == "windows":
        return f"{name} runs Windows: only its API objects are checked."
    if labels.get(FARGATE[0]) == FARGATE[1]:
        return (
            f"{name} is a Fargate node, which allows no access: only its API objects are checked."
        )
    if labels.get(VIRTUAL[0]) == VIRTUAL[1] or any(
        taint.key == VIRTUAL_TAINT for taint in node.spec.taints
    ):
        return f"{name} is a virtual node without a machine: only its API objects are checked."
    return ""
