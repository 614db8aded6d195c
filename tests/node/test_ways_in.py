"""The devices by which connections to Services come in and leave."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.small_cluster import HOST, SmallCluster, api_pod, link
from tests.network.all_clusters import CLUSTERS
from wirecheck.dataplane.table import Client
from wirecheck.node.ways_in import bridge_of_pods, never_by_uplink, uplink, way_out, ways_in
from wirecheck.snapshot.netns import Address, Link, Route, Rule

DOCKER = Link(30, "docker0", kind="bridge", flags=["UP"])


@pytest.fixture
def small() -> SmallCluster:
    return SmallCluster()


def add(small: SmallCluster, device: Link, *addresses: str, **fields: Any) -> None:
    assert small.document
    host = small.document.namespaces[0]
    given = [each.partition("/")[::2] for each in addresses]
    more = [Address(device.index, text, int(prefix)) for text, prefix in given]
    small.change_netns(
        HOST, links=[*host.links, device], addresses=[*host.addresses, *more], **fields
    )


@pytest.mark.parametrize(
    ("addresses", "counts"),
    [
        (("172.17.0.1/16",), False),
        (("fd99::1/64",), False),
        (("172.17.0.1/16", "fd99::1/64"), False),
        # A bridge without an address can have any network.
        ((), True),
        # The network has the node's address, a pod's, or the node's range in it.
        (("192.0.2.77/24",), True),
        (("10.244.0.5/30",), True),
        (("10.244.0.129/25",), True),
        (("172.17.0.1/16", "192.0.2.77/24"), True),
    ],
)
def test_a_bridge_for_other_containers_is_no_way_in(
    small: SmallCluster, addresses: tuple[str, ...], counts: bool
) -> None:
    add(small, DOCKER, *addresses)

    assert ("docker0" in ways_in(small.node.seen)) is counts
    assert ways_in(small.node.seen) >= {"ens3", "flannel.1", "cni0", "veth11", "veth12"}


def test_a_device_that_is_not_a_bridge_always_is_one(small: SmallCluster) -> None:
    add(small, link(30, "wg0", "wireguard"), "172.17.0.1/16")

    assert "wg0" in ways_in(small.node.seen)


def test_pods_are_on_the_bridge_that_their_ranges_are_routed_to(small: SmallCluster) -> None:
    assert bridge_of_pods(small.node.seen) == "cni0"

    small.api["nodes"][0]["spec"]["podCIDRs"].append("fd00:1::/64")
    assert bridge_of_pods(small.node.seen) == ""


@pytest.mark.parametrize("device", ["ens3", "flannel.1"])
def test_another_device_than_a_bridge_is_not_the_pods_own(small: SmallCluster, device: str) -> None:
    assert small.document
    host = small.document.namespaces[0]
    index = next(each.index for each in host.links if each.name == device)
    routes = [e for e in host.routes if e.destination != "10.244.0.0/24"]
    small.change_netns(HOST, routes=[*routes, Route(4, "10.244.0.0/24", index=index)])

    assert bridge_of_pods(small.node.seen) == ""


@pytest.mark.parametrize("plugin", ["Calico, VXLAN", "Cilium", "kindnet", "Kube-OVN", "Azure CNI"])
def test_with_these_plugins_pods_are_on_no_bridge(small: SmallCluster, plugin: str) -> None:
    CLUSTERS[plugin](small)

    assert bridge_of_pods(small.node.seen) == ""


@pytest.mark.parametrize(
    ("destination", "device"),
    [
        ("10.244.1.9", "flannel.1"),
        ("10.244.0.3", "cni0"),
        ("198.51.100.7", "ens3"),
        ("192.0.2.1", "lo"),
        ("127.0.0.1", "lo"),
        ("fd00::7", ""),
    ],
)
def test_connections_leave_by_the_device_of_the_route(
    small: SmallCluster, destination: str, device: str
) -> None:
    assert way_out(small.node.seen, destination) == device


def test_a_route_that_refuses_or_has_several_hops_has_no_device(small: SmallCluster) -> None:
    assert small.document
    hops = [{"gateway": "192.0.2.2"}, {"gateway": "192.0.2.3"}]
    routes = [
        *small.document.namespaces[0].routes,
        Route(4, "198.51.100.0/24", type="blackhole", index=2),
        Route(4, "203.0.113.0/24", hops=hops),
    ]
    small.change_netns(HOST, routes=routes)

    assert way_out(small.node.seen, "198.51.100.7") == ""
    assert way_out(small.node.seen, "203.0.113.7") == ""


def test_where_rules_select_packets_the_device_is_not_known(small: SmallCluster) -> None:
    assert small.document
    rules = small.document.namespaces[0].rules
    small.change_netns(HOST, rules=[*rules, Rule(4, 100, 254, mark="0x1")])

    assert way_out(small.node.seen, "10.244.1.9") == ""


def test_the_uplink_is_the_device_of_the_default_route(small: SmallCluster) -> None:
    assert uplink(small.node.seen) == "ens3"
    assert small.document
    routes = [each for each in small.document.namespaces[0].routes if each.destination != "default"]
    small.change_netns(HOST, routes=routes)

    assert uplink(small.node.seen) == ""


def test_pods_come_in_by_the_devices_of_the_routes_to_them(small: SmallCluster) -> None:
    assert never_by_uplink(small.node.seen, "ens3") == {Client.POD}
    there = api_pod("there", "shop", "10.244.1.9")
    there["spec"]["nodeName"] = "n2"
    small.api["pods"].append(there)

    assert never_by_uplink(small.node.seen, "ens3") == {Client.POD, Client.REMOTE_POD}
    # As with host-gw, where nodes are the gateways of each other's pods.
    assert never_by_uplink(small.node.seen, "flannel.1") == {Client.POD}
