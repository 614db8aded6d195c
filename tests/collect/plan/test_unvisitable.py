"""Nodes that nobody can be let into, each told by what its kind shows in the API."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wirecheck.collect.plan.unvisitable import why_unvisitable
from wirecheck.snapshot.objects.node import NodeObject


def node(
    labels: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    system: str = "linux",
) -> NodeObject:
    shown: dict[str, Any] = {
        "metadata": {"name": "n1", "labels": labels or {}},
        "spec": {"taints": taints or []},
        "status": {"nodeInfo": {"operatingSystem": system}},
    }
    return msgspec.convert(shown, NodeObject)


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (node(system="windows"), "n1 runs Windows"),
        # kubelet fills nodeInfo in later than it labels the node.
        (node({"kubernetes.io/os": "windows"}, system=""), "n1 runs Windows"),
        (node({"eks.amazonaws.com/compute-type": "fargate"}), "n1 is a Fargate node"),
        (node({"type": "virtual-kubelet"}), "n1 is a virtual node"),
        (
            node(taints=[{"key": "virtual-kubelet.io/provider", "effect": "NoSchedule"}]),
            "n1 is a virtual node",
        ),
    ],
    ids=["windows", "windows by label", "fargate", "virtual by label", "virtual by taint"],
)
def test_a_node_that_nobody_is_let_into_says_why(shown: NodeObject, reason: str) -> None:
    assert why_unvisitable(shown).startswith(reason)


@pytest.mark.parametrize(
    "shown",
    [
        node(),
        node(system=""),
        node({"eks.amazonaws.com/compute-type": "ec2", "type": "worker"}),
        node(taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]),
    ],
    ids=["linux", "not known yet", "other labels", "another taint"],
)
def test_all_others_are_visited(shown: NodeObject) -> None:
    assert why_unvisitable(shown) == ""
