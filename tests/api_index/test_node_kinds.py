"""Kinds of nodes without a machine of the cluster's own, each recognised by what the API shows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wirecheck.api_index.node_kinds import NodeKind, kind_of, why_left_out
from wirecheck.snapshot.objects.node import NodeObject


def node(
    labels: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    provider: str = "",
    **info: str,
) -> NodeObject:
    shown: dict[str, Any] = {
        "metadata": {"name": "n1", "labels": labels or {}},
        "spec": {"taints": taints or [], "providerID": provider},
        "status": {"nodeInfo": {"kubeletVersion": "v1.34.4", "operatingSystem": "linux", **info}},
    }
    return msgspec.convert(shown, NodeObject)


def taint(key: str, value: str = "") -> list[dict[str, str]]:
    return [{"key": key, "value": value, "effect": "NoSchedule"}]


EKS = "eks.amazonaws.com/compute-type"


@pytest.mark.parametrize(
    ("shown", "kind"),
    [
        (node(operatingSystem="Windows"), NodeKind.WINDOWS),
        (node({"beta.kubernetes.io/os": "windows"}, operatingSystem=""), NodeKind.WINDOWS),
        (node({"node.kubernetes.io/windows-build": "10.0.20348"}), NodeKind.WINDOWS),
        (node({EKS: "fargate"}), NodeKind.FARGATE),
        (node(taints=taint(EKS, "fargate")), NodeKind.FARGATE),
        (node({EKS: "auto"}), NodeKind.AUTO_MODE),
        (node({EKS: "hybrid"}), NodeKind.HYBRID),
        (node({"type": "virtual-kubelet"}), NodeKind.VIRTUAL),
        (node({"node-role.kubernetes.io/virtual-node": ""}), NodeKind.VIRTUAL),
        (node({"liqo.io/type": "virtual-node"}), NodeKind.VIRTUAL),
        (node({"alibabacloud.com/virtual-node": "true"}), NodeKind.VIRTUAL),
        (node({"node.kubernetes.io/instance-type": "eklet"}), NodeKind.VIRTUAL),
        (node(taints=taint("virtual-kubelet.io/provider", "azure")), NodeKind.VIRTUAL),
        (node(kubeletVersion="v1.25.0-vk-azure-aci-1.6.1"), NodeKind.VIRTUAL),
        (node({"type": "kwok"}), NodeKind.SIMULATED),
        (node(taints=taint("kwok.x-k8s.io/node", "fake")), NodeKind.SIMULATED),
        (node(kubeletVersion="kwok-v0.7.0"), NodeKind.SIMULATED),
        (node(kubeletVersion="fake"), NodeKind.SIMULATED),
        (node(provider="kwok://n1"), NodeKind.SIMULATED),
    ],
)
def test_a_node_that_is_left_out_has_its_kind(shown: NodeObject, kind: NodeKind) -> None:
    assert kind_of(shown) is kind
    assert why_left_out(shown).startswith("n1 ")


@pytest.mark.parametrize(
    "shown",
    [
        node(),
        node({EKS: "ec2", "type": "worker"}),
        node({"node.kubernetes.io/instance-type": "m5.large"}),
        node(taints=taint("node-role.kubernetes.io/control-plane")),
        node(kubeletVersion="v1.33.5-eks-abcdef0"),
        node(kubeletVersion="v1.31.6+k3s1", provider="k3s://n1"),
    ],
)
def test_other_nodes_are_machines(shown: NodeObject) -> None:
    assert kind_of(shown) is NodeKind.MACHINE
    assert why_left_out(shown) == ""


def test_somebody_may_have_access_to_a_hybrid_node() -> None:
    assert [kind for kind in NodeKind if kind.can_be_visited] == [
        NodeKind.MACHINE,
        NodeKind.HYBRID,
    ]
    assert NodeKind.WINDOWS.has_machine
    assert not NodeKind.FARGATE.has_machine
