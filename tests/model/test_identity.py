"""Values that only one node may have: ranges, machine IDs, UUIDs, addresses, MACs."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import convert

from wirecheck.model.identity import overlapping_ranges, shared_identities
from wirecheck.snapshot.objects.node import NodeObject

UUID = "4c4c4544-0043-4810-8036-b6c04f4d3332"
FLANNEL = "flannel.alpha.coreos.com/"


def node(
    name: str,
    *ranges: str,
    addresses: tuple[str, ...] = (),
    machine: str = "",
    uuid: str = "",
    labels: dict[str, str] | None = None,
    notes: dict[str, str] | None = None,
) -> NodeObject:
    found: dict[str, Any] = {
        "metadata": {"name": name, "labels": labels or {}, "annotations": notes or {}},
        "spec": {"podCIDR": ranges[0] if ranges else "", "podCIDRs": list(ranges)},
        "status": {
            "addresses": [{"type": "InternalIP", "address": each} for each in addresses],
            "nodeInfo": {"machineID": machine, "systemUUID": uuid},
        },
    }
    return convert(found, NodeObject)


def overlapping(*nodes: NodeObject) -> list[tuple[str, str, str]]:
    found = overlapping_ranges({each.metadata.name: each for each in nodes})
    return [(each.ref.name, each.what, each.found) for each in found]


def shared(*nodes: NodeObject, joined: bool = True) -> list[tuple[str, str, str]]:
    known = {each.metadata.name: each for each in nodes}
    found = shared_identities(known, joined_by_flannel=joined)
    return [(each.ref.name, each.what, each.found) for each in found]


def test_ranges_side_by_side_do_not_overlap() -> None:
    assert not overlapping(
        node("a", "10.244.0.0/24", "fd00::/64"),
        node("b", "10.244.1.0/24", "fd00:0:0:1::/64"),
        node("c"),
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.244.1.0/24", "10.244.1.0/24"),
        ("10.244.0.0/16", "10.244.1.0/24"),
        ("fd00::/56", "fd00:0:0:1::/64"),
    ],
)
def test_equal_and_nested_ranges_overlap(one: str, other: str) -> None:
    assert overlapping(node("a", one), node("b", other)) == [("b", other, "also on a")]
    assert overlapping(node("b", other), node("a", one)) == [("b", other, "also on a")]


def test_each_range_within_a_wide_one_is_found() -> None:
    found = overlapping(
        node("a", "10.244.0.0/16", "fd00::/56"),
        node("b", "10.244.1.0/24"),
        node("c", "10.244.2.0/24", "fd00:0:0:2::/64"),
        node("d", "10.245.0.0/24"),
    )

    assert found == [
        ("b", "10.244.1.0/24", "also on a"),
        ("c", "10.244.2.0/24", "also on a"),
        ("c", "fd00:0:0:2::/64", "also on a"),
    ]


def test_the_ranges_of_one_node_may_overlap() -> None:
    assert not overlapping(node("a", "10.244.0.0/16", "10.244.1.0/24"), node("b", "10.245.0.0/24"))


def test_each_identity_that_several_nodes_have_is_found() -> None:
    nodes = [
        node(name, addresses=("192.0.2.1", "fd00::1"), machine="m", uuid=UUID) for name in "ab"
    ]
    other = node("c", addresses=("192.0.2.3",), machine="other", uuid=UUID.replace("4", "5"))

    assert shared(other, *nodes) == [
        ("a", "address 192.0.2.1", "also on b"),
        ("a", "address fd00::1", "also on b"),
        ("a", "machine-id m", "also on b"),
        ("a", f"system UUID {UUID}", "also on b"),
    ]
    assert not shared(nodes[0], other)


def test_all_nodes_that_share_it_are_named() -> None:
    nodes = [node(name, machine="m") for name in "cab"]

    assert shared(*nodes) == [("a", "machine-id m", "also on b, c")]


def test_a_uuid_that_all_nodes_share_is_that_of_the_hypervisor() -> None:
    nodes = [node(name, uuid=UUID) for name in "abc"]

    assert not shared(*nodes)
    assert not shared(*nodes[:2])
    assert shared(*nodes, node("d")) == [("a", f"system UUID {UUID}", "also on b, c")]
    assert shared(*(node(name, machine="m") for name in "ab"))


@pytest.mark.parametrize(
    "uuid",
    [
        "",
        "03000200-0400-0500-0006-000700080009",
        "03000200-0400-0500-0006-000700080009".upper(),
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    ],
)
def test_placeholders_are_no_uuids(uuid: str) -> None:
    assert not shared(node("a", uuid=uuid), node("b", uuid=uuid), node("c"))


def test_a_uuid_of_few_digits_is_one() -> None:
    uuid = "00000000-0000-0000-0000-000000000001"

    assert shared(node("a", uuid=uuid), node("b", uuid=uuid.upper()), node("c"))


def test_the_machine_id_in_the_place_of_a_uuid_is_reported_once() -> None:
    machine = UUID.replace("-", "")
    nodes = [node(name, machine=machine, uuid=UUID) for name in "ab"]

    assert [what for _, what, _ in shared(*nodes, node("c"))] == [f"machine-id {machine}"]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::", "a host name"])
def test_addresses_of_no_machine_may_be_shared(address: str) -> None:
    assert not shared(node("a", addresses=(address,)), node("b", addresses=(address,)))


def test_a_node_without_a_machine_has_no_identity() -> None:
    labels = {"type": "virtual-kubelet"}
    virtual = node("a", addresses=("192.0.2.1",), machine="m", labels=labels)

    assert not shared(virtual, node("b", addresses=("192.0.2.1",), machine="m"))


def test_flannels_tunnel_counts_as_long_as_flannel_joins_the_nodes() -> None:
    notes = {
        f"{FLANNEL}backend-type": "vxlan",
        f"{FLANNEL}backend-data": '{"VNI":1,"VtepMAC":"0a:00:00:00:00:01"}',
        f"{FLANNEL}public-ip": "192.0.2.1",
    }
    nodes = [node(f"n{n}", f"10.244.{n}.0/24", notes=notes) for n in (1, 2)]

    assert shared(*nodes) == [
        ("n1", "VXLAN MAC 0a:00:00:00:00:01", "also on n2"),
        ("n1", "VXLAN endpoint 192.0.2.1", "also on n2"),
    ]
    assert not shared(*nodes, joined=False)


def test_only_a_uuid_may_be_a_fault_of_the_hardware() -> None:
    nodes = {name: node(name, machine="m", uuid=UUID) for name in "ab"} | {"c": node("c")}

    found = {
        e.what: e.may_be_a_hardware_fault for e in shared_identities(nodes, joined_by_flannel=False)
    }
    assert found == {"machine-id m": False, f"system UUID {UUID}": True}
