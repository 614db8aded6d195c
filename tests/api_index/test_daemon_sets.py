"""On which nodes a DaemonSet runs, as its controller decides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wirecheck.api_index.daemon_sets import why_not_on
from wirecheck.snapshot.objects.daemon_set import DaemonSetObject
from wirecheck.snapshot.objects.node import NodeObject


def daemon_set(**spec: Any) -> DaemonSetObject:
    shown = {"metadata": {"name": "agent"}, "spec": {"template": {"spec": spec}}}
    return msgspec.convert(shown, DaemonSetObject)


def affine(*terms: dict[str, Any]) -> DaemonSetObject:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return daemon_set(affinity={"nodeAffinity": required})


def labels(*expressions: tuple[str, str, list[str]]) -> dict[str, Any]:
    return {
        "matchExpressions": [
            {"key": key, "operator": operator, "values": values}
            for key, operator, values in expressions
        ]
    }


def fields(*names: str, operator: str = "In") -> dict[str, Any]:
    expression = {"key": "metadata.name", "operator": operator, "values": list(names)}
    return {"matchFields": [expression]}


def node(name: str = "n1", taints: Any = (), unschedulable: bool = False, **of: str) -> NodeObject:
    shown = {
        "metadata": {"name": name, "labels": {"os": "linux", "cores": "8", **of}},
        "spec": {"taints": list(taints), "unschedulable": unschedulable},
    }
    return msgspec.convert(shown, NodeObject)


def taint(key: str, effect: str = "NoSchedule", value: str = "") -> dict[str, str]:
    return {"key": key, "effect": effect, "value": value}


@pytest.mark.parametrize(
    "wanted",
    [
        daemon_set(),
        daemon_set(nodeName="n1"),
        daemon_set(nodeSelector={"os": "linux"}),
        affine(labels(("os", "In", ["linux", "darwin"]))),
        affine(labels(("compute-type", "NotIn", ["fargate"]))),
        affine(labels(("os", "Exists", []), ("gpu", "DoesNotExist", []))),
        affine(labels(("cores", "Gt", ["4"]))),
        affine(labels(("cores", "Lt", ["16"]))),
        affine(labels(("os", "In", ["windows"])), labels(("os", "In", ["linux"]))),
        affine(fields("n1")),
        affine({**labels(("os", "In", ["linux"])), **fields("n1")}),
    ],
)
def test_a_node_that_is_selected(wanted: DaemonSetObject) -> None:
    assert why_not_on(wanted, node()) == ""


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (daemon_set(nodeName="n2"), "its pods are for node n2"),
        (daemon_set(nodeSelector={"os": "linux", "x": "1"}), "its node selector is x=1"),
        (affine(), "its node affinity does not match the node"),
        (affine({}), "its node affinity does not match the node"),
        (affine(labels(("os", "In", ["windows"]))), "its node affinity does not match the node"),
        (affine(labels(("os", "NotIn", ["linux"]))), "its node affinity does not match the node"),
        (affine(labels(("gpu", "Exists", []))), "its node affinity does not match the node"),
        (affine(labels(("os", "DoesNotExist", []))), "its node affinity does not match the node"),
        (affine(labels(("cores", "Gt", ["8"]))), "its node affinity does not match the node"),
        (affine(labels(("os", "Gt", ["8"]))), "its node affinity does not match the node"),
        (affine(labels(("os", "Near", ["x"]))), "its node affinity does not match the node"),
        (affine(fields("n2")), "its node affinity does not match the node"),
        (affine(fields("n1", operator="NotIn")), "its node affinity does not match the node"),
        (
            affine({**labels(("os", "In", ["linux"])), **fields("n2")}),
            "its node affinity does not match the node",
        ),
    ],
)
def test_a_node_that_is_not_selected(wanted: DaemonSetObject, reason: str) -> None:
    assert why_not_on(wanted, node()) == reason


@pytest.mark.parametrize(
    ("taints", "spec"),
    [
        ([taint("node.kubernetes.io/unschedulable")], {}),
        ([taint("node.kubernetes.io/not-ready", "NoExecute")], {}),
        ([taint("node.kubernetes.io/network-unavailable")], {"hostNetwork": True}),
        ([taint("prefer", "PreferNoSchedule")], {}),
        ([taint("gpu", value="yes")], {"tolerations": [{"operator": "Exists"}]}),
        ([taint("gpu", value="yes")], {"tolerations": [{"key": "gpu", "operator": "Exists"}]}),
        ([taint("gpu", value="yes")], {"tolerations": [{"key": "gpu", "value": "yes"}]}),
        (
            [taint("gpu", value="yes")],
            {"tolerations": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]},
        ),
        (
            [taint("age", value="7")],
            {"tolerations": [{"key": "age", "operator": "Gt", "value": "5"}]},
        ),
    ],
)
def test_a_taint_that_is_tolerated(taints: list[dict[str, str]], spec: dict[str, Any]) -> None:
    assert why_not_on(daemon_set(**spec), node(taints=taints, unschedulable=True)) == ""


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}]},
        {"tolerations": [{"key": "gpu", "value": "no"}]},
        {"tolerations": [{"value": "yes"}]},
        {"tolerations": [{"key": "other", "operator": "Exists"}]},
        {"tolerations": [{"key": "gpu", "operator": "Near", "value": "yes"}]},
    ],
)
def test_a_taint_that_is_not_tolerated(spec: dict[str, Any]) -> None:
    tainted = node(taints=[taint("gpu", value="yes")])

    assert (
        why_not_on(daemon_set(**spec), tainted) == "it does not tolerate the taint gpu:NoSchedule"
    )


def test_a_pod_with_its_own_netns_waits_for_the_network() -> None:
    waiting = node(taints=[taint("node.kubernetes.io/network-unavailable")])

    assert "network-unavailable" in why_not_on(daemon_set(), waiting)
