"""Kinds of nodes without a machine of the cluster's own, or with one that nobody can reach.

The network of such a node is somebody else's: no DaemonSet of the cluster's network runs there, no
other node has a route to its pods, and nobody can log in to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from wirecheck.snapshot.objects.node import NodeObject

COMPUTE_TYPE = "eks.amazonaws.com/compute-type"
VIRTUAL_TAINT = "virtual-kubelet.io/provider"
VIRTUAL_LABELS: Mapping[str, tuple[str, ...]] = {
    "type": ("virtual-kubelet", "virtual-node"),
    "kubernetes.io/role": ("virtual-kubelet",),
    "liqo.io/type": ("virtual-node",),
    "alibabacloud.com/virtual-node": ("true",),
    "node.kubernetes.io/instance-type": ("eklet", "virtual-kubelet"),
    "virtual-node.interlink/type": ("virtual-kubelet",),
}
"""Labels that providers of virtual kubelets give to their nodes, with the values."""

VIRTUAL_ROLE = "node-role.kubernetes.io/virtual-node"

SYSTEM_LABELS = ("kubernetes.io/os", "beta.kubernetes.io/os")
WINDOWS_BUILD = "node.kubernetes.io/windows-build"

SIMULATED = "kwok"


class NodeKind(StrEnum):
    """What is behind a node. The values complete `NAME `, as in `n1 runs Windows`."""

    MACHINE = ""
    """An ordinary Linux machine."""
    WINDOWS = "runs Windows"
    FARGATE = "is a Fargate node, which allows no access"
    AUTO_MODE = "is a node of EKS Auto Mode, which allows no access"
    HYBRID = "is an EKS hybrid node outside the cluster's network"
    VIRTUAL = "is a virtual node without a machine"
    SIMULATED = "is a simulated node (kwok) without a machine"

    @property
    def has_machine(self) -> bool:
        """Whether the identity of a machine belongs to the node."""
        return self not in (NodeKind.VIRTUAL, NodeKind.SIMULATED, NodeKind.FARGATE)

    @property
    def can_be_visited(self) -> bool:
        """Whether somebody may have access to the node. A hybrid node is its owner's machine."""
        return self in (NodeKind.MACHINE, NodeKind.HYBRID)


OF_EKS: Mapping[str, NodeKind] = {
    "fargate": NodeKind.FARGATE,
    "auto": NodeKind.AUTO_MODE,
    "hybrid": NodeKind.HYBRID,
}


def kind_of(node: NodeObject) -> NodeKind:
    """The kind of the node, by its labels, taints and versions."""
    labels, info = node.metadata.labels, node.status.node_info
    taints = {taint.key: taint.value for taint in node.spec.taints}
    # The kubelet fills in nodeInfo later than it labels the node.
    systems = (info.operating_system.lower(), *(labels.get(key) for key in SYSTEM_LABELS))
    if "windows" in systems or WINDOWS_BUILD in labels:
        return NodeKind.WINDOWS
    if _is_simulated(node, taints):
        return NodeKind.SIMULATED
    if (
        VIRTUAL_TAINT in taints
        or VIRTUAL_ROLE in labels
        or any(labels.get(key, "").lower() in values for key, values in VIRTUAL_LABELS.items())
    ):
        return NodeKind.VIRTUAL
    # Virtual kubelets report versions such as v1.25.0-vk-azure-aci-1.6.1.
    if "-vk-" in info.kubelet_version:
        return NodeKind.VIRTUAL
    by_eks = labels.get(COMPUTE_TYPE) or taints.get(COMPUTE_TYPE, "")
    return OF_EKS.get(by_eks.lower(), NodeKind.MACHINE)


def _is_simulated(node: NodeObject, taints: Mapping[str, str]) -> bool:
    """kwok's own label, its taint, its version, or the annotation that it selects nodes by."""
    labels, version = node.metadata.labels, node.status.node_info.kubelet_version
    return (
        labels.get("type") == SIMULATED
        or version.startswith((f"{SIMULATED}-", "fake"))
        or "kwok.x-k8s.io/node" in {*taints, *labels, *node.metadata.annotations}
        or node.spec.provider_id.startswith(f"{SIMULATED}:")
    )


def why_left_out(node: NodeObject) -> str:
    """Why no check of the node's own network applies to it; empty if they do."""
    kind = kind_of(node)
    return f"{node.metadata.name} {kind}" if kind else ""
