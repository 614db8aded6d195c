"""Healthy clusters of every CNI plugin pass all checks, and faults in them are found."""

import pytest

from tests.checks.small_cluster import HOST, WEB_NETNS, SmallCluster, api_pod
from tests.network.all_clusters import CLUSTERS, ChangeCluster
from tests.network.building import UPLINK_ROUTES, set_filter
from tests.network.clusters.calico import POD_ADDRESSES, calico_vxlan
from tests.network.clusters.cilium import cilium
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.catalogue.registry import load

NEEDS_RULES = (
    "services.",
    "kube_proxy.",
    "conntrack.table_usage",
    "conntrack.limit_as_configured",
    "conntrack.no_stale_udp_entries",
    "conntrack.hash_size",
    "conntrack.connection_rate",
)
"""Checks of rules, which are evaluated on recorded clusters."""


INCONCLUSIVE = {"AWS VPC CNI": {"routes.policy_routing"}}
"""What cannot be known there: with several interfaces in one network, which has a pod's address."""


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_healthy_cluster_passes_every_check(small: SmallCluster, name: str):
    CLUSTERS[name](small)
    found, evaluated = {}, 0
    inconclusive = set()
    for check in load():
        if check.id.startswith(NEEDS_RULES):
            continue
        try:
            findings = small.findings(check.id)
            if certain := [each for each in findings if not each.inconclusive]:
                found[check.id] = [(str(each.subject), each.found) for each in certain]
            inconclusive |= {check.id for each in findings if each.inconclusive}
            evaluated += 1
        except NotApplicable:
            continue

    assert found == {}
    assert inconclusive == INCONCLUSIVE.get(name, set())
    assert evaluated > 35


@pytest.mark.parametrize("change", CLUSTERS.values(), ids=CLUSTERS)
def test_dropped_dns_is_found(small: SmallCluster, change: ChangeCluster):
    change(small)
    rules = small.document.commands["iptables-nft-save"].output
    dropping = "-A FORWARD -p udp -m udp --dport 53 -j DROP\n-A INPUT -j"
    small.change_output("iptables-nft-save", rules.replace("-A INPUT -j", dropping, 1))

    (finding,) = small.findings("firewall.forwards_dns")
    assert small.api["pods"][0]["status"]["podIP"] in finding.subject.part


@pytest.mark.parametrize("change", CLUSTERS.values(), ids=CLUSTERS)
@pytest.mark.parametrize("rule", ["-A FORWARD -j DROP", "-A FORWARD -p tcp -j REJECT"])
def test_dropped_packets_between_pods_are_found(
    small: SmallCluster, change: ChangeCluster, rule: str
):
    change(small)
    there = api_pod("there", "shop", "10.244.1.9")
    there["spec"]["nodeName"] = "n2"
    small.api["pods"].append(there)
    rules = small.document.commands["iptables-nft-save"].output
    small.change_output(
        "iptables-nft-save", rules.replace("-A INPUT -j", f"{rule}\n-A INPUT -j", 1)
    )

    found = {each.subject.part for each in small.findings("firewall.forwards_pods")}
    assert found == {"FORWARD to pods of n2", "FORWARD from pods of n2"}


def test_a_policy_drop_without_a_rule_for_pods_is_found_with_calico(small):
    calico_vxlan(small)
    there = api_pod("there", "shop", "192.168.55.9")
    there["spec"]["nodeName"] = "n2"
    small.api["pods"].append(there)
    assert not small.findings("firewall.forwards_pods")

    set_filter(small, "", "", policy="DROP")
    assert len(small.findings("firewall.forwards_pods")) == 2


def test_pods_that_a_policy_selects_say_nothing_about_the_firewall(small):
    calico_vxlan(small)
    there = api_pod("there", "shop", "192.168.55.9")
    there["spec"]["nodeName"] = "n2"
    small.api["pods"].append(there)
    small.api["networkPolicies"] = [
        {
            "metadata": {"name": "deny", "namespace": "shop"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        }
    ]
    set_filter(small, "", "", policy="DROP")

    with pytest.raises(NotApplicable, match="no policy restricts"):
        small.findings("firewall.forwards_pods")


def test_a_missing_route_to_a_pod_of_calico_is_found(small):
    calico_vxlan(small)
    routes = [
        each
        for each in small.document.namespaces[0].routes
        if each.destination != f"{POD_ADDRESSES[1]}/32"
    ]
    small.change_netns(HOST, routes=routes)

    (finding,) = small.findings("links.attached")
    assert finding.expected == "a route to the pod's address through cali0d7763web"


def test_a_missing_address_of_a_pod_of_calico_is_found(small):
    calico_vxlan(small)
    small.change_netns(WEB_NETNS, addresses=[])

    assert small.findings("pods.ip_on_interface")


def test_a_device_of_cilium_that_is_down_is_found(small):
    cilium(small)
    small.change_link(HOST, "lxcweb", flags=[])

    assert len(small.findings("links.up")) == 1


def test_checks_of_services_name_cilium_where_it_replaces_kube_proxy(small):
    cilium(small)

    with pytest.raises(NotApplicable, match="Cilium forwards Services on this node"):
        small.findings("services.frontends_programmed")


def test_routes_to_other_nodes_are_not_required_with_pools_of_the_plugin(small):
    calico_vxlan(small)
    small.change_netns(HOST, routes=UPLINK_ROUTES)

    with pytest.raises(NotApplicable, match="Calico does not assign addresses"):
        small.findings("routes.to_every_node")


def test_a_strict_rp_filter_is_found_where_ebpf_redirects(small):
    cilium(small)
    assert not small.findings("settings.rp_filter")

    small.change_file("/proc/sys/net/ipv4/conf/all/rp_filter", "1")
    names = {e.subject.part for e in small.findings("settings.rp_filter")}
    assert "rp_filter of cilium_host" in names
