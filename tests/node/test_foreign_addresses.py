"""Addresses of one node that must not be on it, or on one node only."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import HOST, SmallCluster, api_pod, link
from wirecheck.snapshot.netns import Address

ENS3, CNI0, OTHER = 2, 5, 99


def bind(
    small: SmallCluster, index: int, where: str, prefix: int = 32, *, name: str = "", kind: str = ""
) -> None:
    """Add an address, and the interface if it is a new one."""
    assert small.document
    host = small.document.namespaces[0]
    small.change_netns(
        HOST,
        addresses=[*host.addresses, Address(index, where, prefix)],
        links=[*host.links, *([link(index, name, kind)] if name else [])],
    )


def found(small: SmallCluster) -> list[tuple[str, str]]:
    return [(each.device, each.owner) for each in small.node.foreign_addresses.found]


def give(small: SmallCluster, node: int, where: str) -> None:
    listed = small.api["nodes"][node]["status"]["addresses"]
    listed.append({"type": "InternalIP", "address": where})


@pytest.mark.parametrize("where", ["fe80::2", "169.254.1.2", "127.0.0.2", "::1", "0.0.0.0"])
def test_an_address_that_every_host_may_have_is_not_another_nodes(
    small: SmallCluster, where: str
) -> None:
    give(small, 1, where)
    bind(small, ENS3, where)

    assert found(small) == []


@pytest.mark.parametrize("where", ["192.0.2.2", "2001:db8::2"])
def test_an_address_of_another_node_is_found_in_either_family(
    small: SmallCluster, where: str
) -> None:
    give(small, 1, "2001:db8::2")
    bind(small, ENS3, where)

    assert found(small) == [("ens3", "Node n2")]


def test_addresses_are_found_in_their_order(small: SmallCluster) -> None:
    small.api["nodes"].append({"metadata": {"name": "n3"}, "status": {"addresses": []}})
    give(small, 2, "192.0.2.10")
    give(small, 1, "2001:db8::2")
    for where in ("2001:db8::2", "192.0.2.10", "192.0.2.2"):
        bind(small, ENS3, where)

    assert [owner for _, owner in found(small)] == ["Node n2", "Node n3", "Node n2"]


@pytest.mark.parametrize(
    ("where", "name", "kind", "owner"),
    [
        ("10.244.1.1", "br9", "bridge", "Node n2"),
        ("10.244.1.1", "kube-ipvs0", "dummy", "Node n2"),
        ("10.244.1.1", "eth9", "", ""),
        ("10.244.0.77", "br9", "bridge", ""),
        ("10.99.0.1", "br9", "bridge", ""),
        ("192.0.2.1", "br9", "bridge", ""),
    ],
)
def test_a_range_of_another_node_counts_on_bridges_and_proxies_devices(
    small: SmallCluster, where: str, name: str, kind: str, owner: str
) -> None:
    pod = api_pod("other", "shop", "10.244.1.9")
    pod["spec"]["nodeName"] = "n2"
    small.api["pods"].append(pod)
    bind(small, OTHER, where, 24, name=name, kind=kind)

    assert found(small) == ([(name, owner)] if owner else [])


def test_on_a_proxys_device_the_service_is_named_as_the_cause(small: SmallCluster) -> None:
    small.api["services"][1]["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}]}}
    bind(small, OTHER, "192.0.2.2", name="kube-ipvs0", kind="dummy")
    bind(small, ENS3, "192.0.2.2")

    causes = {each.device: each.cause for each in small.node.foreign_addresses.found}
    assert causes["ens3"] is None
    assert causes["kube-ipvs0"]
    assert "kube-dns" in str(causes["kube-ipvs0"])


def single(small: SmallCluster) -> dict[str, str]:
    return {str(each): name for each, name in small.node.foreign_addresses.single.items()}


VIP = "192.0.2.100"


def test_a_further_address_in_the_nodes_own_network_is_single(small: SmallCluster) -> None:
    assert single(small) == {}
    bind(small, ENS3, VIP)

    assert single(small) == {VIP: "ens3"}


@pytest.mark.parametrize(
    ("index", "where", "prefix"),
    [
        (ENS3, "198.51.100.9", 32),
        (ENS3, "198.51.100.9", 24),
        (CNI0, "10.244.0.200", 32),
        (ENS3, "fe80::9", 64),
    ],
    ids=["no network", "another network", "another interface", "link-local"],
)
def test_other_addresses_are_not_single(
    small: SmallCluster, index: int, where: str, prefix: int
) -> None:
    bind(small, index, where, prefix)

    assert single(small) == {}


@pytest.mark.parametrize(
    ("prefix", "kind", "is_single"),
    [(24, "", True), (31, "", True), (32, "", False), (24, "dummy", False)],
)
def test_an_address_of_a_service_is_single_in_a_network_that_is_connected(
    small: SmallCluster, prefix: int, kind: str, is_single: bool
) -> None:
    where = "198.51.100.9"
    small.api["services"][1]["status"] = {"loadBalancer": {"ingress": [{"ip": where}]}}
    bind(small, OTHER, where, prefix, name="eth1", kind=kind)

    assert single(small) == ({where: "eth1"} if is_single else {})


def test_the_devices_of_proxies_have_no_single_addresses(small: SmallCluster) -> None:
    small.api["services"][1]["status"] = {"loadBalancer": {"ingress": [{"ip": VIP}]}}
    bind(small, OTHER, VIP, 24, name="kube-ipvs0")

    assert single(small) == {}
