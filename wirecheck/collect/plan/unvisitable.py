"""Nodes that have no way in, whatever the inventory says."""

from __future__ import annotations

from wirecheck.snapshot.objects.node import NodeObject

FARGATE = ("eks.amazonaws.com/compute-type", "fargate")
VIRTUAL = ("type", "virtual-kubelet")
VIRTUAL_TAINT = "virtual-kubelet.io/provider"


def why_unvisitable(node: NodeObject) -> str:
    """Why nothing can be looked at on the node itself; empty where something can."""
    name, labels = node.metadata.name, node.metadata.labels
    system = node.status.node_info.operating_system or labels.get("kubernetes.io/os", "")
    if system == "windows":
        return f"{name} runs Windows: only what the API shows of it is judged."
    if labels.get(FARGATE[0]) == FARGATE[1]:
        return f"{name} is a Fargate node, into which nobody is let: only its API is judged."
    if labels.get(VIRTUAL[0]) == VIRTUAL[1] or any(
        taint.key == VIRTUAL_TAINT for taint in node.spec.taints
    ):
        return f"{name} is a virtual node without a machine: only what the API shows is judged."
    return ""
