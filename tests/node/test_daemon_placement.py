"""Whether a DaemonSet of the cluster's network has to run on a node."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.small_cluster import SmallCluster, api_pod
from wirecheck.node.daemon_placement import EDGE, Placement, placement

NAME = "kube-flannel-ds"
TAINT = {"key": "team", "value": "a", "effect": "NoSchedule"}


def found(small: SmallCluster) -> Placement:
    return placement(small.node.seen, lambda _, name: name == NAME)


def taint(small: SmallCluster, *taints: dict[str, str], at: int = 0) -> None:
    small.api["nodes"][at]["spec"]["taints"] = list(taints)


def daemon_set(name: str = NAME, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "kube-flannel"},
        "spec": {"template": {"spec": spec}},
    }


def add_daemon(small: SmallCluster, node: str, daemonset: str = NAME) -> None:
    pod = api_pod(f"agent-on-{node}", "kube-flannel", "192.0.2.9")
    pod["metadata"]["ownerReferences"] = [
        {"kind": "DaemonSet", "name": daemonset, "controller": True}
    ]
    pod["spec"] |= {"nodeName": node, "hostNetwork": True}
    small.api["pods"].append(pod)


def test_an_ordinary_node_must_have_a_pod(small: SmallCluster) -> None:
    assert found(small) == Placement()


def test_a_node_without_a_machine_has_none(small: SmallCluster) -> None:
    small.api["nodes"][0]["metadata"]["labels"] = {"type": "virtual-kubelet"}
    small.api["daemonSets"] = [daemon_set()]

    assert "virtual node" in found(small).left_out


SELECTED = {"nodeSelector": {"pool": "a"}}


@pytest.mark.parametrize(
    ("daemon_sets", "left_out"),
    [
        ([daemon_set()], ""),
        (
            [daemon_set(**SELECTED)],
            "DaemonSet kube-flannel/kube-flannel-ds leaves n1 out: its node selector is pool=a",
        ),
        ([daemon_set(**SELECTED), daemon_set()], ""),
        ([daemon_set(), daemon_set(**SELECTED)], ""),
        ([daemon_set("other", **SELECTED)], ""),
    ],
)
def test_the_daemon_set_itself_decides(
    small: SmallCluster, daemon_sets: list[dict[str, Any]], left_out: str
) -> None:
    small.api["daemonSets"] = daemon_sets

    assert found(small) == Placement(left_out=left_out)


def test_one_that_is_being_deleted_does_not_count(small: SmallCluster) -> None:
    leaving = daemon_set(**SELECTED)
    leaving["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z"
    small.api["daemonSets"] = [leaving]

    assert found(small) == Placement()


@pytest.mark.parametrize(
    ("taints", "key"),
    [
        ([TAINT], "team"),
        ([{**TAINT, "effect": "PreferNoSchedule"}], ""),
        ([{**TAINT, "key": "node-role.kubernetes.io/control-plane"}], ""),
        ([{**TAINT, "key": "node.kubernetes.io/not-ready"}], ""),
        ([{**TAINT, "key": "zone"}, TAINT], "team"),
    ],
)
def test_a_taint_that_no_node_with_its_pods_has_leaves_it_unknown(
    small: SmallCluster, taints: list[dict[str, str]], key: str
) -> None:
    small.api["pods"] = small.api["pods"][:2]
    taint(small, *taints)
    reason = f"the taint {key}, which the DaemonSet may not tolerate; it was not read"

    assert found(small) == Placement(unknown=reason if key else "")


@pytest.mark.parametrize(("daemonset", "is_known"), [(NAME, True), ("other", False)])
def test_a_taint_of_another_node_with_its_pod_is_tolerated(
    small: SmallCluster, daemonset: str, is_known: bool
) -> None:
    small.api["pods"] = small.api["pods"][:2]
    taint(small, TAINT)
    taint(small, TAINT, at=1)
    add_daemon(small, "n2", daemonset)

    assert (found(small).unknown == "") is is_known


def test_a_node_at_the_edge_is_unknown(small: SmallCluster) -> None:
    small.api["nodes"][0]["metadata"]["labels"] = {EDGE: ""}

    assert found(small).unknown.startswith(f"a node with the label {EDGE}")


@pytest.mark.parametrize(
    ("has_pods", "is_visited", "is_unknown"),
    [(True, False, False), (False, True, False), (False, False, True)],
)
def test_a_node_of_which_nothing_is_known_is_unknown(
    small: SmallCluster, has_pods: bool, is_visited: bool, is_unknown: bool
) -> None:
    if not has_pods:
        small.api["pods"] = []
    if not is_visited:
        small.document = None

    assert bool(found(small).unknown) is is_unknown
