"""Clusters that other CNI plugins wired are not misjudged, and what is wrong there is found."""

from collections.abc import Callable

import pytest

from tests.checks.other_plugins import CALICO_PODS, PLUGINS, UPLINK_ROUTES, calico_vxlan, cilium
from tests.checks.small_cluster import HOST, WEB_NETNS, SmallCluster
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
"""Judged on recorded clusters."""


@pytest.mark.parametrize("wire", PLUGINS.values(), ids=PLUGINS)
def test_a_healthy_cluster_of_another_plugin_is_healthy(
    small: SmallCluster, wire: Callable[[SmallCluster], None]
):
    wire(small)
    found, judged = {}, 0
    for check in load():
        if check.id.startswith(NEEDS_RULES):
            continue
        try:
            if findings := small.findings(check.id):
                found[check.id] = [(str(each.subject), each.found) for each in findings]
            judged += 1
        except NotApplicable:
            continue

    assert found == {}
    assert judged > 35


@pytest.mark.parametrize("wire", PLUGINS.values(), ids=PLUGINS)
def test_dns_that_another_plugins_node_drops_is_found(
    small: SmallCluster, wire: Callable[[SmallCluster], None]
):
    wire(small)
    rules = small.document.commands["iptables-nft-save"].output
    dropping = "-A FORWARD -p udp -m udp --dport 53 -j DROP\n-A INPUT -j"
    small.change_output("iptables-nft-save", rules.replace("-A INPUT -j", dropping, 1))

    (finding,) = small.findings("firewall.forwards_dns")
    assert small.api["pods"][0]["status"]["podIP"] in finding.subject.part


def test_calicos_pods_are_found_where_their_route_is_missing(small):
    calico_vxlan(small)
    routes = [
        each
        for each in small.document.namespaces[0].routes
        if each.destination != f"{CALICO_PODS[1]}/32"
    ]
    small.change_netns(HOST, routes=routes)

    (finding,) = small.findings("links.attached")
    assert finding.expected == "a route to the pod's address by cali0d7763web"


def test_calicos_pods_are_found_without_their_address(small):
    calico_vxlan(small)
    small.change_netns(WEB_NETNS, addresses=[])

    assert small.findings("pods.ip_on_interface")


def test_ciliums_pods_are_found_when_their_device_is_down(small):
    cilium(small)
    small.change_link(HOST, "lxcweb", flags=[])

    assert len(small.findings("links.up")) == 1


def test_services_without_kube_proxy_are_said_to_be_ciliums(small):
    cilium(small)

    with pytest.raises(NotApplicable, match="Cilium forwards Services here"):
        small.findings("services.frontends_programmed")


def test_no_route_to_other_nodes_pods_is_no_fault_where_pools_are_the_plugins_own(small):
    calico_vxlan(small)
    small.change_netns(HOST, routes=UPLINK_ROUTES)

    with pytest.raises(NotApplicable, match="without regard to podCIDRs"):
        small.findings("routes.to_every_node")


def test_strict_filtering_is_found_where_ebpf_redirects(small):
    cilium(small)
    assert not small.findings("settings.rp_filter")

    small.change_file("/proc/sys/net/ipv4/conf/all/rp_filter", "1")
    names = {e.subject.part for e in small.findings("settings.rp_filter")}
    assert "rp_filter of cilium_host" in names
