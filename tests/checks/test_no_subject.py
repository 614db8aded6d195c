"""A check without a subject does not apply: what is not there cannot pass."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import DNS_NETNS, HOST, SmallCluster
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.snapshot.node_document import PodProcesses

OF_PODS = (
    *("dns.pods_resolve_udp", "dns.pods_resolve_tcp", "links.attached", "links.equal_mtu"),
    *("links.hairpin", "links.up", "links.veth_pairs_complete", "pods.ip_in_node_range"),
    *("pods.ip_on_interface", "routes.pod_default_route", "nodes.ip_forward"),
)
OF_DNS = (
    *("dns.nodes_resolve", "dns.records_correct", "dns.replicas_answer"),
    *("routes.pod_default_route",),
)


def without_pods(small: SmallCluster) -> None:
    """Only the agent is left, on the host network."""
    agent = small.api["pods"][2]
    small.api["pods"] = [agent]
    small.change_document(
        pods=[PodProcesses(agent["metadata"]["uid"], HOST)],
        namespaces=small.document.namespaces[:1],
        probes=[each for each in small.document.probes if each.inode == HOST],
    )


@pytest.mark.parametrize("check", OF_PODS)
def test_a_node_with_pods_on_the_host_network_only(small, check):
    without_pods(small)

    with pytest.raises(NotApplicable):
        small.findings(check)


@pytest.mark.parametrize("check", ["pods.have_ip", "pods.have_netns", "dns.resolv_conf"])
def test_a_node_without_pods(small, check):
    without_pods(small)
    small.api["pods"] = []

    with pytest.raises(NotApplicable, match="no pod runs on the node"):
        small.findings(check)


@pytest.mark.parametrize("check", OF_DNS)
def test_a_cluster_without_dns(small, check):
    del small.api["services"][1]

    with pytest.raises(NotApplicable):
        small.findings(check)


@pytest.mark.parametrize("check", ["dns.records_correct", "dns.replicas_answer"])
def test_a_dns_service_without_replicas(small, check):
    """dns.replicas_ready fails instead."""
    del small.api["pods"][0]
    namespaces = [each for each in small.document.namespaces if each.inode != DNS_NETNS]
    small.change_document(namespaces=namespaces)

    assert small.findings("dns.replicas_ready")
    with pytest.raises(NotApplicable, match="there is no DNS replica"):
        small.findings(check)


def test_metrics_that_do_not_answer_show_no_lag(small):
    with pytest.raises(NotApplicable, match="shows no syncs"):
        small.findings("kube_proxy.sync_lag")
