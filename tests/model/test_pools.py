"""Pools of nodes, and the settings that differ between the nodes of one."""

from __future__ import annotations

import pytest
from msgspec import convert

from tests.checks.small_cluster import SmallCluster
from wirecheck.model.pools import Drift, drifts, pool_of, settings_of
from wirecheck.snapshot.objects.node import NodeObject


def node(name: str = "n", **labels: str) -> NodeObject:
    return convert({"metadata": {"name": name, "labels": labels}}, NodeObject)


NODEPOOL, GROUP = "karpenter.sh/nodepool", "eks.amazonaws.com/nodegroup"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


@pytest.mark.parametrize(
    ("labels", "pool"),
    [
        ({NODEPOOL: "blue"}, "pool blue"),
        ({GROUP: "green", NODEPOOL: "blue"}, "pool blue"),
        ({NODEPOOL: "", GROUP: "green"}, "pool green"),
        ({CONTROL_PLANE: ""}, "the control plane"),
        ({CONTROL_PLANE: "", GROUP: "green"}, "pool green"),
        ({}, "workers"),
    ],
)
def test_the_pool_of_a_node(labels: dict[str, str], pool: str) -> None:
    assert pool_of(node(**labels)) == pool


def found(**settings: dict[str, str]) -> list[Drift]:
    labels = {"a": "blue", "b": "blue", "c": "blue", "x": "green", "y": "green"}
    nodes = {name: node(name, **{NODEPOOL: pool}) for name, pool in labels.items()}
    return list(drifts(nodes, settings))


def test_a_setting_that_differs_in_one_pool_is_found_there() -> None:
    some = {"kernel": "6.1", "kubelet": "v1.34"}
    other = {"kernel": "6.2", "kubelet": "v1.34"}

    assert found(a=some, b=other, c=some, x=other, y=other) == [
        Drift("pool blue", "kernel", {"6.1": ("a", "c"), "6.2": ("b",)})
    ]


def test_the_nodes_where_a_setting_was_not_seen_do_not_count() -> None:
    assert not found(a={"kernel": "6.1"}, b={}, gone={"kernel": "6.2"})


def test_every_setting_of_every_pool_is_compared() -> None:
    one, other = {"kernel": "6.1", "MTU of eth0": "1500"}, {"kernel": "6.2", "MTU of eth0": "9000"}

    drifting = found(y=one, x=other, b=one, a=other)
    assert [(each.pool, each.what) for each in drifting] == [
        ("pool blue", "MTU of eth0"),
        ("pool blue", "kernel"),
        ("pool green", "MTU of eth0"),
        ("pool green", "kernel"),
    ]


@pytest.mark.parametrize(
    ("values", "most"),
    [
        ({"1": ("a",), "2": ("b", "c")}, "2"),
        ({"1": ("a",), "2": ("b",)}, ""),
        ({"1": ("a", "b"), "2": ("c", "d"), "3": ("e",)}, ""),
        ({"1": ("a", "b"), "2": ("c",), "3": ("d",)}, ""),
        ({"1": ("a", "b", "c"), "2": ("d",), "3": ("e",)}, "1"),
    ],
)
def test_the_value_of_more_than_half_of_the_nodes(
    values: dict[str, tuple[str, ...]], most: str
) -> None:
    assert Drift("workers", "kernel", values).most == most


def test_the_smallest_group_comes_first_and_many_nodes_are_counted() -> None:
    values = {"6.2": ("a", "b", "c"), "6.1": ("d", "e", "f", "g"), "6.0": ("h",)}

    assert Drift("workers", "kernel", values).found == "h: 6.0; a, b, c: 6.2; 4 nodes: 6.1"


def settings(small: SmallCluster) -> dict[str, str]:
    return settings_of(small.node)


def test_values_that_are_each_nodes_own_are_not_compared() -> None:
    small = SmallCluster()
    small.change_file("/proc/sys/net/ipv4/ip_local_reserved_ports", "8080")
    small.change_file("/proc/sys/net/ipv4/tcp_mtu_probing", "1")
    small.change_file("/proc/sys/net/ipv6/conf/all/forwarding", "1")

    known = settings(small)

    assert known["net.ipv4.tcp_mtu_probing"] == "1"
    assert not known.keys() & {
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_forward",
        "net.ipv6.conf.all.forwarding",
        "net.bridge.bridge-nf-call-iptables",
        "net.netfilter.nf_conntrack_max",
        "net.netfilter.nf_conntrack_buckets",
    }
    assert not [name for name in known if name.startswith("number of ")]


KUBERNETES = "*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n"
OTHERS = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"


@pytest.mark.parametrize(
    ("nft", "legacy", "variant"),
    [
        (KUBERNETES, OTHERS, "nft"),
        (OTHERS, KUBERNETES, "legacy"),
        (KUBERNETES, KUBERNETES, "nft"),
        (OTHERS, OTHERS, None),
    ],
)
def test_the_variant_of_iptables_with_kubernetes_rules(
    nft: str, legacy: str, variant: str | None
) -> None:
    small = SmallCluster()
    small.change_output("iptables-nft-save", nft)
    small.change_output("iptables-legacy-save", legacy)

    assert settings(small).get("variant of iptables") == variant


def test_without_rules_that_were_read_there_is_no_variant() -> None:
    small = SmallCluster()
    assert small.document
    small.change_document(commands={})

    assert "variant of iptables" not in settings(small)
