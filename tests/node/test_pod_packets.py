"""The packets of pods that stand for all that a node must forward."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import SmallCluster, api_pod
from tests.network.clusters.aws_vpc import aws_vpc
from tests.network.clusters.calico import calico_bgp
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket
from wirecheck.node.pod_packets import PodPackets

Packet = tuple[str, str, str, str, str]
"""What it is, source, destination, and the devices by which it comes in and leaves."""


@pytest.fixture
def small() -> SmallCluster:
    return SmallCluster()


def shown(what: str, each: ForwardedPacket) -> Packet:
    return what, str(each.source), str(each.destination), each.iif, each.oif


def packets(small: SmallCluster) -> PodPackets:
    return small.node.firewall.packets


def between(small: SmallCluster) -> list[Packet]:
    return [shown(*each) for each in packets(small).between_pods]


def to_dns(small: SmallCluster) -> list[Packet]:
    return [shown(*each) for each in packets(small).to_dns]


def there(address: str, node: str = "n2", name: str = "there") -> dict[str, object]:
    pod = api_pod(name, "shop", address, app=name)
    pod["spec"]["nodeName"] = node
    return pod


def test_between_the_ranges_of_nodes_the_last_addresses_stand_for_all(
    small: SmallCluster,
) -> None:
    assert between(small) == [
        ("to pods of n2", "10.244.0.254", "10.244.1.254", "cni0", "flannel.1"),
        ("from pods of n2", "10.244.1.254", "10.244.0.254", "flannel.1", "cni0"),
    ]


def test_without_ranges_a_pod_of_each_node_stands_for_all(small: SmallCluster) -> None:
    calico_bgp(small)
    small.api["pods"] += [there("192.168.55.7"), there("192.168.55.6", name="another")]

    dns = small.api["pods"][0]["status"]["podIP"]
    assert between(small) == [
        ("to pods of n2", dns, "192.168.55.6", "", "ens3"),
        ("from pods of n2", "192.168.55.6", dns, "ens3", ""),
    ]


def test_a_pod_that_a_policy_selects_stands_for_no_other(small: SmallCluster) -> None:
    calico_bgp(small)
    small.api["pods"] += [there("192.168.55.7")]
    spec = {"podSelector": {"matchLabels": {"app": "there"}}, "policyTypes": ["Ingress"]}
    small.api["networkPolicies"] = [
        {"metadata": {"name": "deny", "namespace": "shop"}, "spec": spec}
    ]

    with pytest.raises(NotApplicable, match="that no policy restricts"):
        list(packets(small).between_pods)


def test_pods_of_other_families_have_nothing_to_send_to_each_other(small: SmallCluster) -> None:
    calico_bgp(small)
    small.api["pods"] += [there("fd00::7")]

    with pytest.raises(NotApplicable, match="of this node and of another one"):
        list(packets(small).between_pods)


def test_queries_go_to_each_replica_by_both_protocols(small: SmallCluster) -> None:
    assert to_dns(small) == [
        (f"DNS over {protocol}", "10.244.0.254", "10.244.0.2", "cni0", "cni0")
        for protocol in ("UDP", "TCP")
    ]


def test_a_replica_on_the_host_network_is_not_forwarded_to(small: SmallCluster) -> None:
    replica = there("10.244.1.9", name="dns2")
    replica["metadata"] = {
        "name": "dns2",
        "namespace": "kube-system",
        "uid": "2",
        "labels": {"k8s-app": "kube-dns"},
    }
    small.api["pods"].append(replica)
    small.api["pods"][0]["spec"]["hostNetwork"] = True
    assert [packet[2:] for packet in to_dns(small)] == [("10.244.1.9", "cni0", "flannel.1")] * 2

    replica["spec"] = {"nodeName": "n2", "hostNetwork": True, "containers": []}
    with pytest.raises(NotApplicable, match="no DNS replica with its own network namespace"):
        to_dns(small)


def test_a_pod_of_another_plugin_asks_a_replica_that_is_not_itself(small: SmallCluster) -> None:
    aws_vpc(small)
    dns, web = (pod["status"]["podIP"] for pod in small.api["pods"][:2])

    # The pods' network is that of the uplink, which is not a bridge.
    assert {packet[1:4] for packet in to_dns(small)} == {(web, dns, "")}
    small.api["pods"][1]["spec"]["hostNetwork"] = True
    with pytest.raises(NotApplicable):
        to_dns(small)


def test_a_replica_of_a_family_that_no_pod_has_is_left_out(small: SmallCluster) -> None:
    small.api["pods"][0]["status"]["podIPs"].append({"ip": "fd00::2"})

    assert {to for _, _, to, *_ in to_dns(small)} == {"10.244.0.2"}
    small.api["nodes"][0]["spec"]["podCIDRs"].append("fd00::/64")
    assert {to for _, _, to, *_ in to_dns(small)} == {"10.244.0.2", "fd00::2"}
