"""What the parts of a node need to know about the cluster."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import SmallCluster, api_pod, service
from wirecheck.addresses import network
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.network.plugin import UNKNOWN, AddressSource, CniPlugin
from wirecheck.network.registry import PLUGINS
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.snapshot.api_objects import OTHER_LABELS, Change
from wirecheck.snapshot.index import VisitRecord, VisitStatus


def pod_at(small: SmallCluster, where: str, node: str = "n1", **spec: Any) -> None:
    pod = api_pod(f"pod-{len(small.api['pods'])}", "shop", where)
    pod["spec"] |= {"nodeName": node, **spec}
    small.api["pods"].append(pod)


def without_pods(small: SmallCluster) -> None:
    small.api["pods"] = []


def plugin(addresses: AddressSource) -> CniPlugin:
    return next(each for each in PLUGINS if each.addresses is addresses)


class TestWhetherPodsFollowTheRangesOfNodes:
    def test_an_unknown_plugin_follows_them_if_every_pod_does(self, small: SmallCluster) -> None:
        assert small.cluster.follows_node_ranges(UNKNOWN)

        pod_at(small, "172.20.0.9")
        assert not small.cluster.follows_node_ranges(UNKNOWN)
        assert small.cluster.has_pods_in_node_ranges

    def test_without_pods_nothing_shows_that_it_follows_them(self, small: SmallCluster) -> None:
        without_pods(small)

        assert not small.cluster.follows_node_ranges(UNKNOWN)
        assert not small.cluster.has_pods_in_node_ranges

    def test_a_known_plugin_decides_whatever_the_pods_have(self, small: SmallCluster) -> None:
        assert not small.cluster.follows_node_ranges(plugin(AddressSource.OWN_POOLS))
        without_pods(small)
        assert small.cluster.follows_node_ranges(plugin(AddressSource.NODE_RANGE))

    @pytest.mark.parametrize(
        "change",
        [{"hostNetwork": True}, {"node": "n2"}],
        ids=["on the host network", "on a virtual node"],
    )
    def test_pods_outside_of_the_network_do_not_count(
        self, small: SmallCluster, change: dict[str, Any]
    ) -> None:
        small.api["nodes"][1]["metadata"]["labels"] = {"type": "virtual-kubelet"}
        pod_at(small, "192.0.2.1", **change)

        assert small.cluster.follows_node_ranges(UNKNOWN)

    def test_terminated_pods_do_not_count(self, small: SmallCluster) -> None:
        pod_at(small, "172.20.0.9")
        small.api["pods"][-1]["status"]["phase"] = "Succeeded"

        assert small.cluster.follows_node_ranges(UNKNOWN)


class TestWhetherOtherNodesUseTheirRanges:
    @pytest.fixture
    def unknown(self, small: SmallCluster) -> SmallCluster:
        """A cluster whose plugin is unknown, without pods."""
        without_pods(small)
        return small

    @pytest.mark.parametrize(
        ("pods", "expected"),
        [
            ([], False),
            ([("10.244.0.9", "n1")], False),
            ([("10.244.1.9", "n2")], True),
            ([("10.244.1.9", "n2"), ("172.20.0.9", "n1")], True),
            ([("10.244.1.9", "n2"), ("172.20.0.9", "n2")], False),
            ([("10.244.0.9", "n2")], False),
        ],
    )
    def test_their_pods_show_it(
        self, unknown: SmallCluster, pods: list[tuple[str, str]], expected: bool
    ) -> None:
        for where, node in pods:
            pod_at(unknown, where, node)

        assert unknown.cluster.uses_node_ranges_except("n1") is expected

    def test_a_plugin_that_assigns_from_them_shows_it_without_pods(
        self, small: SmallCluster
    ) -> None:
        small.api["pods"] = small.api["pods"][2:]

        assert small.cluster.uses_node_ranges_except("n1")


def test_the_target_of_an_upgrade_is_its_minor_version(small: SmallCluster) -> None:
    assert small.cluster.upgrade_target is None
    small.upgrade_target = "v1.38.2"
    assert small.cluster.upgrade_target == 38
    small.upgrade_target = "the newest"
    with pytest.raises(FactMissingError, match="upgrade_target is invalid"):
        _ = small.cluster.upgrade_target


def test_fields_that_changed_are_known_by_object_without_other_labels(small: SmallCluster) -> None:
    small.changes = [
        Change("Pod", "web", "shop", what="addresses, ready"),
        Change("Pod", "dns", "shop", what=OTHER_LABELS),
        Change("Node", "n2", what="added"),
    ]
    cluster: ClusterSeen = small.cluster

    assert cluster.changed_fields == {
        ("Pod", "shop", "web"): {"addresses", "ready"},
        ("Node", "", "n2"): {"added"},
    }
    assert cluster.changed == {("Pod", "shop", "web"), ("Node", "", "n2")}


@pytest.mark.parametrize(
    ("status", "is_virtual", "expected"),
    [
        (VisitStatus.UNREACHABLE, True, VisitStatus.SKIPPED),
        (VisitStatus.UNREACHABLE, False, VisitStatus.UNREACHABLE),
        (VisitStatus.SEEN, True, VisitStatus.SEEN),
    ],
)
def test_a_failed_visit_to_a_node_that_is_left_out_counts_as_skipped(
    small: SmallCluster, status: VisitStatus, is_virtual: bool, expected: VisitStatus
) -> None:
    if is_virtual:
        small.api["nodes"][0]["metadata"]["labels"] = {"type": "virtual-kubelet"}
    small.visit = VisitRecord(status, reason="no route to host")
    visit = small.cluster.visit_to("n1")

    assert visit
    assert visit.status is expected
    assert small.cluster.visit_to("n2") is None
    assert small.cluster.visit_to("n3") is None


def test_invalid_addresses_are_left_out_of_the_known_ranges(small: SmallCluster) -> None:
    small.api["nodes"][1]["status"]["addresses"] = [{"type": "InternalIP", "address": "a name"}]
    pod_at(small, "fd00::9", "n2")
    found = small.cluster.known_ranges

    expected = "192.0.2.1 10.244.0.0/24 10.244.1.0/24 10.244.0.2 10.244.0.3 fd00::9"
    assert set(found) == set(map(network, expected.split()))
    assert len(found) == len(set(found))


def test_the_families_of_services_are_those_of_their_cluster_ips(small: SmallCluster) -> None:
    assert small.cluster.families_of_services == {4}
    small.api["services"].append(service("six", "shop", "fd00::20", []))
    assert small.cluster.families_of_services == {4, 6}


def agent(small: SmallCluster, daemonset: str) -> None:
    small.api["pods"][2]["metadata"]["ownerReferences"][0]["name"] = daemonset


@pytest.mark.parametrize(
    ("daemonset", "pods", "is_flannels"),
    [
        ("kube-flannel-ds", [], True),
        ("canal", [], True),
        ("calico-node", ["10.244.0.9"], False),
        ("", ["10.244.0.9"], True),
        ("", ["172.20.0.9"], False),
    ],
)
def test_flannel_joins_the_nodes_by_its_agent_or_without_any(
    small: SmallCluster, daemonset: str, pods: list[str], is_flannels: bool
) -> None:
    if daemonset:
        agent(small, daemonset)
    small.api["pods"] = small.api["pods"][2:] if daemonset else []
    for where in pods:
        pod_at(small, where)

    assert small.cluster.joins_nodes_by_flannel is is_flannels


@pytest.mark.parametrize(
    ("daemonset", "kinds", "is_unread"),
    [
        ("calico-node", {}, True),
        ("calico-node", {"CiliumNetworkPolicy": "read"}, False),
        ("kube-flannel-ds", {}, False),
    ],
)
def test_policies_of_a_plugins_own_kinds_may_be_unread(
    small: SmallCluster, daemonset: str, kinds: dict[str, str], is_unread: bool
) -> None:
    agent(small, daemonset)
    small.api["policyKinds"] = kinds

    assert bool(small.cluster.unread_policies) is is_unread


def config_map(name: str, **data: str) -> dict[str, Any]:
    named = {key.replace("_", "."): value for key, value in data.items()}
    return {"metadata": {"name": name, "namespace": "kube-system"}, "data": named}


def test_kube_proxys_configuration_is_the_first_that_has_one(small: SmallCluster) -> None:
    assert small.cluster.proxy_configuration == ""
    small.api["configMaps"] = [
        config_map("other", some_key="x"),
        config_map("kube-proxy", config_conf="mode: ipvs"),
        config_map("kube-proxy-2", config_conf="mode: iptables"),
    ]

    assert small.cluster.proxy_configuration == "mode: ipvs"


@pytest.mark.parametrize(("value", "replacement"), [("true", "Cilium"), ("false", "")])
def test_a_setting_in_any_config_map_shows_what_replaces_kube_proxy(
    small: SmallCluster, value: str, replacement: str
) -> None:
    setting = {**config_map("cilium-config"), "data": {"kube-proxy-replacement": value}}
    small.api["configMaps"] = [config_map("other", some_key="x"), setting]

    assert small.cluster.proxy_replacement == replacement


def test_machines_are_all_nodes_except_virtual_ones(small: SmallCluster) -> None:
    assert small.cluster.machines == {"n1", "n2"}
    small.api["nodes"][1]["metadata"]["labels"] = {"type": "virtual-kubelet"}
    assert small.cluster.machines == {"n1"}


def test_modes_of_kube_proxy_are_those_that_visits_reported(small: SmallCluster) -> None:
    small.visit = VisitRecord(VisitStatus.SEEN, proxy_mode="ipvs")
    small.others = {"n2": VisitRecord(VisitStatus.SEEN)}

    assert small.cluster.proxy_modes == {"n1": "ipvs"}


def test_addresses_are_known_by_family(small: SmallCluster) -> None:
    small.api["nodes"][1]["status"]["addresses"].append(
        {"type": "InternalIP", "address": "2001:db8::2"}
    )
    cluster: ClusterSeen = small.cluster

    assert set(cluster.node_spans) == set(cluster.known_spans) == {4, 6}
    assert set(map(str, cluster.node_ranges)) == {"192.0.2.1/32", "192.0.2.2/32", "2001:db8::2/128"}
    assert all(cluster.node_spans.values())
    assert all(cluster.known_spans.values())


def test_the_cluster_has_the_name_of_its_context_or_none(small: SmallCluster) -> None:
    cluster: ClusterSeen = small.cluster
    named = ClusterSeen(
        cluster.api,
        replace(cluster.index, cluster=replace(cluster.index.cluster, context="prod")),
        cluster.round,
    )

    assert (cluster.ref.name, named.ref.name) == ("cluster", "prod")
    assert str(named.part("DNS")) == "Cluster prod DNS"
