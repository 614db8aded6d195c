"""Nodes that the network's DaemonSets leave out: virtual nodes, other systems, other plugins."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import SmallCluster, api_node, api_pod
from wirecheck.catalogue.findings import Finding, NotApplicable
from wirecheck.snapshot.index import VisitRecord, VisitStatus

AGENT, DAEMONS = "cni.agent_ready", "pods.network_daemons_ready"
EKS = "eks.amazonaws.com/compute-type"


def daemon_pod(name: str, node: str) -> dict[str, Any]:
    pod = api_pod(f"{name}-x", "kube-system", "192.0.2.2")
    pod["spec"] |= {"nodeName": node, "hostNetwork": True}
    pod["metadata"]["ownerReferences"] = [{"kind": "DaemonSet", "name": name, "controller": True}]
    return pod


def daemon_set(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"template": {"spec": spec}},
    }


@pytest.fixture
def bare(small: SmallCluster) -> SmallCluster:
    """The visited node has no pod of flannel and kube-proxy, and the other one has both."""
    small.api["pods"][2] = daemon_pod("kube-flannel-ds", "n2")
    small.api["pods"].append(daemon_pod("kube-proxy", "n2"))
    return small


def node_of(small: SmallCluster) -> dict[str, Any]:
    node: dict[str, Any] = small.api["nodes"][0]
    return node


def not_in(key: str, *values: str) -> dict[str, Any]:
    expression = {"key": key, "operator": "NotIn", "values": list(values)}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def found_of(small: SmallCluster, check: str) -> list[str]:
    return [each.inconclusive or each.found for each in small.findings(check)]


@pytest.mark.parametrize("check", [AGENT, DAEMONS])
@pytest.mark.parametrize(
    "labels",
    [{EKS: "fargate"}, {EKS: "auto"}, {EKS: "hybrid"}, {"kubernetes.io/os": "windows"}],
)
def test_nodes_that_the_daemonsets_leave_out_need_no_pods(
    bare: SmallCluster, check: str, labels: dict[str, str]
) -> None:
    assert found_of(bare, check) == ["none"]
    node_of(bare)["metadata"]["labels"] = labels

    with pytest.raises(NotApplicable, match=r"n1|no machine"):
        bare.findings(check)


@pytest.mark.parametrize(("check", "name"), [(AGENT, "kube-flannel-ds"), (DAEMONS, "kube-proxy")])
@pytest.mark.parametrize(
    "spec",
    [
        {"affinity": not_in(EKS, "fargate", "metal")},
        {"nodeSelector": {"network": "flannel"}},
        {"tolerations": [{"key": "other", "operator": "Exists"}]},
    ],
)
def test_where_a_daemonset_runs_is_decided_by_the_daemonset(
    bare: SmallCluster, check: str, name: str, spec: dict[str, Any]
) -> None:
    node = node_of(bare)
    node["metadata"]["labels"] = {EKS: "metal"}
    node["spec"]["taints"] = [{"key": "dedicated", "effect": "NoSchedule"}]
    tolerant = {"tolerations": [{"operator": "Exists"}]}
    bare.api["daemonSets"] = [daemon_set(name, **{**tolerant, **spec})]

    with pytest.raises(NotApplicable, match=f"DaemonSet kube-system/{name} leaves n1 out"):
        bare.findings(check)

    # A second one, for this kind of node, that has no pod there.
    bare.api["daemonSets"].append(daemon_set(name, **tolerant))
    assert found_of(bare, check) == ["none"]


def test_a_taint_is_inconclusive_in_a_recording_without_daemonsets(bare: SmallCluster) -> None:
    dedicated = [{"key": "dedicated", "effect": "NoSchedule"}]
    node_of(bare)["spec"]["taints"] = dedicated
    why = "the taint dedicated, which the DaemonSet may not tolerate; it was not read"
    assert found_of(bare, AGENT) == found_of(bare, DAEMONS) == [why]

    # It runs on another node with this taint, so it tolerates it.
    bare.api["nodes"][1]["spec"]["taints"] = dedicated
    assert found_of(bare, AGENT) == found_of(bare, DAEMONS) == ["none"]


@pytest.mark.parametrize("key", ["node-role.kubernetes.io/control-plane", "prefer"])
def test_a_taint_that_keeps_no_agent_away_is_no_excuse(bare: SmallCluster, key: str) -> None:
    effect = "PreferNoSchedule" if key == "prefer" else "NoSchedule"
    node_of(bare)["spec"]["taints"] = [{"key": key, "effect": effect}]

    assert found_of(bare, AGENT) == ["none"]


def test_a_node_with_another_plugin_is_checked_for_that(bare: SmallCluster) -> None:
    other = daemon_pod("kindnet", "n1")
    other["status"]["conditions"][0]["status"] = "False"
    bare.api["pods"].append(other)

    (finding,) = bare.findings(AGENT)
    assert (finding.subject.name, finding.found) == ("kindnet-x", "not Ready")


@pytest.mark.parametrize("kind", [{EKS: "auto"}, {"type": "kwok"}, {EKS: "hybrid"}])
def test_nobody_had_to_reach_a_node_that_is_left_out(
    small: SmallCluster, kind: dict[str, str]
) -> None:
    node_of(small)["metadata"]["labels"] = kind
    small.document = None
    small.visit = VisitRecord(VisitStatus.UNREACHABLE, reason="no access")
    seen = small.cluster.visit_to("n1")

    assert seen is not None
    assert seen.status is VisitStatus.SKIPPED
    assert seen.reason.startswith("n1 is a")


def kwok_nodes(small: SmallCluster) -> None:
    for name in ("k1", "k2"):
        node = api_node("n2", "192.0.2.9", "10.244.9.0/24")
        node["metadata"] |= {"name": name, "labels": {"type": "kwok"}, "annotations": {}}
        node["status"]["nodeInfo"]["machineID"] = "none"
        small.api["nodes"].append(node)
        pod = api_pod(f"on-{name}", "shop", "10.0.0.1")
        pod["spec"]["nodeName"] = name
        small.api["pods"].append(pod)


@pytest.mark.parametrize("check", ["nodes.unique_identity", "pods.unique_ips"])
def test_simulated_nodes_have_no_identity(small: SmallCluster, check: str) -> None:
    kwok_nodes(small)
    assert small.findings(check) == []

    for node in small.api["nodes"][2:]:
        node["metadata"]["labels"] = {}
    assert [each.level for each in small.findings(check)] != []


def test_no_route_leads_to_pods_of_simulated_nodes(small: SmallCluster) -> None:
    kwok_nodes(small)
    for node in small.api["nodes"]:
        node["metadata"]["annotations"] = {}
    without: list[Finding] = small.findings("routes.to_every_node")
    assert without == []

    small.api["nodes"][2]["metadata"]["labels"] = {}
    assert [each.found for each in small.findings("routes.to_every_node")] != []


def test_an_address_on_a_virtual_node_is_not_from_the_nodes_range(small: SmallCluster) -> None:
    small.api["pods"][1]["status"]["podIPs"] = [{"ip": "172.16.0.9"}]
    assert len(small.findings("pods.ip_in_node_range")) == 1

    node_of(small)["metadata"]["labels"] = {"type": "virtual-kubelet"}
    with pytest.raises(NotApplicable, match="virtual node"):
        small.findings("pods.ip_in_node_range")


def test_a_node_that_is_left_out_need_not_answer(small: SmallCluster) -> None:
    contacts = small.document.contacts or []
    failed = [replace(each, made=0, error="timed out") for each in contacts]
    small.change_document(contacts=failed)
    assert found_of(small, "reachability.node_to_node") == ["timed out in 1 of 1 tries"]

    small.api["nodes"][1]["metadata"]["labels"] = {EKS: "fargate"}
    assert found_of(small, "reachability.node_to_node") == [
        "n2 is a Fargate node, which allows no access"
    ]
