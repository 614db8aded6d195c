"""Whether the node answers for the gateway of a routed pod."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import HOST, WEB_NETNS, SmallCluster
from tests.network.clusters.calico import calico_bgp
from tests.network.clusters.cilium import cilium
from wirecheck.node.pod_gateways import PROXY_ARP, PodGateways
from wirecheck.snapshot.netns import Address, Neighbour, Route

WEB, GATEWAY = "cali0d7763web", "169.254.1.1"


@pytest.fixture
def small() -> SmallCluster:
    cluster = SmallCluster()
    calico_bgp(cluster)
    cluster.change_netns(WEB_NETNS, neighbours=[])
    return cluster


def silent(small: SmallCluster) -> list[tuple[str, str]]:
    node = small.node
    found = PodGateways(node.seen, node.namespaces).silent
    return [(each.device, each.found) for each in found]


def set_proxy_arp(small: SmallCluster, **values: str) -> None:
    for name, value in values.items():
        small.change_file(PROXY_ARP.format(name), value)


def neighbour(state: str, index: int = 2, address: str = GATEWAY) -> Neighbour:
    return Neighbour(index, address, "ee:ee:ee:ee:ee:ee", state)


@pytest.mark.parametrize(
    ("values", "is_off"),
    [
        ({WEB: "0"}, True),
        ({WEB: "0\n", "all": "0\n"}, True),
        ({WEB: "0", "all": "1"}, False),
        ({WEB: "1", "all": "0"}, False),
        ({"all": "0"}, False),
        ({"all": "1"}, False),
        ({}, False),
    ],
)
def test_proxy_arp_must_be_on_for_the_device_or_for_all(
    small: SmallCluster, values: dict[str, str], is_off: bool
) -> None:
    set_proxy_arp(small, **values)

    assert silent(small) == ([(WEB, f"proxy_arp is 0 on {WEB}")] if is_off else [])


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("PERMANENT", []),
        ("NOARP", []),
        ("REACHABLE", [f"proxy_arp is 0 on {WEB}"]),
        ("FAILED", [f"proxy_arp is 0 on {WEB}; {GATEWAY} is FAILED in the pod"]),
    ],
)
def test_for_a_permanent_neighbour_nobody_is_asked(
    small: SmallCluster, state: str, found: list[str]
) -> None:
    set_proxy_arp(small, **{WEB: "0"})
    small.change_netns(WEB_NETNS, neighbours=[neighbour(state)])

    assert [text for _, text in silent(small)] == found


@pytest.mark.parametrize("state", ["FAILED", "INCOMPLETE"])
def test_a_gateway_that_did_not_answer_is_found_whatever_proxy_arp_is(
    small: SmallCluster, state: str
) -> None:
    small.change_netns(WEB_NETNS, neighbours=[neighbour(state)])
    assert silent(small) == [(WEB, f"{GATEWAY} is {state} in the pod")]

    # The entries of other devices and addresses say nothing about the gateway.
    others = [neighbour(state, index=1), neighbour(state, index=3), neighbour(state, 2, "10.9.9.9")]
    small.change_netns(WEB_NETNS, neighbours=others)
    assert silent(small) == []


def test_a_pair_that_is_down_or_without_a_route_is_left_to_its_own_check(
    small: SmallCluster,
) -> None:
    set_proxy_arp(small, **{WEB: "0"})

    for inode, name in ((HOST, WEB), (WEB_NETNS, "eth0")):
        small.change_link(inode, name, flags=[])
        assert silent(small) == []
        small.change_link(inode, name, flags=["UP"])
    assert len(silent(small)) == 1

    assert small.document
    host = small.document.namespaces[0]
    index = next(each.index for each in host.links if each.name == WEB)
    small.change_netns(HOST, routes=[each for each in host.routes if each.index != index])
    assert silent(small) == []


def test_a_gateway_that_the_node_has_needs_no_proxy_arp(small: SmallCluster) -> None:
    set_proxy_arp(small, **{WEB: "0"})
    assert small.document
    host = small.document.namespaces[0]
    small.change_netns(HOST, addresses=[*host.addresses, Address(2, GATEWAY, 32)])

    assert silent(small) == []


@pytest.mark.parametrize(
    "routes",
    [
        [],
        [Route(4, "default", index=2)],
        [Route(4, "default", gateway=GATEWAY, index=3)],
        [Route(4, "10.0.0.0/8", gateway=GATEWAY, index=2)],
    ],
    ids=["no route", "without a gateway", "by another device", "no default route"],
)
def test_a_pod_without_a_gateway_on_its_pair_asks_nobody(
    small: SmallCluster, routes: list[Route]
) -> None:
    set_proxy_arp(small, **{WEB: "0"})
    small.change_netns(WEB_NETNS, routes=routes)

    assert silent(small) == []


def test_proxy_arp_is_not_asked_for_ipv6(small: SmallCluster) -> None:
    """The gateway of IPv6 is the link-local address of the node's end."""
    gateway = "fe80::ecee:eeff:feee:eeee"
    assert small.document
    set_proxy_arp(small, **{WEB: "0"})
    host = small.document.namespaces[0]
    index = next(each.index for each in host.links if each.name == WEB)
    small.change_netns(
        HOST,
        routes=[*host.routes, Route(6, "fd00::3/128", index=index)],
        addresses=host.addresses,
    )
    small.api["pods"][1]["status"]["podIPs"].append({"ip": "fd00::3"})
    routes = [Route(6, "default", gateway=gateway, index=2)]
    small.change_netns(WEB_NETNS, routes=routes)
    assert silent(small) == []

    small.change_netns(WEB_NETNS, neighbours=[neighbour("FAILED", address=gateway)])
    assert silent(small) == [(WEB, f"{gateway} is FAILED in the pod")]


def test_both_families_are_evaluated(small: SmallCluster) -> None:
    assert small.document
    host = small.document.namespaces[0]
    index = next(each.index for each in host.links if each.name == WEB)
    small.change_netns(HOST, routes=[*host.routes, Route(6, "fd00::3/128", index=index)])
    small.api["pods"][1]["status"]["podIPs"].append({"ip": "fd00::3"})
    netns = next(each for each in small.document.namespaces if each.inode == WEB_NETNS)
    small.change_netns(
        WEB_NETNS,
        routes=[*netns.routes, Route(6, "default", gateway="fe80::1", index=2)],
        neighbours=[neighbour("FAILED"), neighbour("FAILED", address="fe80::1")],
    )

    assert [text for _, text in silent(small)] == [
        f"{GATEWAY} is FAILED in the pod",
        "fe80::1 is FAILED in the pod",
    ]


def test_a_plugin_that_delivers_by_ebpf_needs_no_answer() -> None:
    small = SmallCluster()
    cilium(small)
    small.change_netns(WEB_NETNS, neighbours=[replace(neighbour("FAILED"), address="10.0.0.10")])

    assert silent(small) == []
