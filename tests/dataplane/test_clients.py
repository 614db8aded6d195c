from hypothesis import given
from hypothesis import strategies as st

from tests.dataplane import small
from wirecheck.addresses import network
from wirecheck.dataplane.clients import (
    Intervals,
    clients_of,
    difference,
    everything,
    intersection,
    intervals,
    ranges,
)
from wirecheck.dataplane.table import Client
from wirecheck.snapshot.objects.node import NodeAddress, NodeObject, NodeStatus

NUMBERS = range(256)


def spans() -> st.SearchStrategy[Intervals]:
    """Intervals among the addresses 0.0.0.0 to 0.0.0.255."""
    prefixes = st.builds(
        lambda base, length: network(f"0.0.0.{base}/{length}"),
        st.integers(0, 255),
        st.integers(24, 32),
    )
    return st.lists(prefixes, max_size=4).map(intervals)


def members(of: Intervals) -> set[int]:
    return {number for number in NUMBERS if any(low <= number <= high for low, high in of)}


@given(spans(), spans())
def test_intervals_are_sets(left: Intervals, right: Intervals) -> None:
    assert members(intersection(left, right)) == members(left) & members(right)
    assert members(difference(left, right)) == members(left) - members(right)
    assert intersection(left, right) == intersection(right, left)


@given(spans())
def test_ranges_cover_exactly_the_intervals(of: Intervals) -> None:
    assert intervals(network(text) for text in ranges(of, 4)) == of


def test_the_kinds_of_clients_are_disjoint_and_known_by_the_node() -> None:
    clients = small.clients("169.254.20.10")
    kinds = clients.of(4)
    assert set(kinds) == set(Client)
    union: Intervals = ()
    for own in kinds.values():
        assert not intersection(union, own)
        union = tuple(sorted((*union, *own)))
    loopback = intervals([network("127.0.0.0/8")])
    assert intervals(network(text) for text in ranges(union, 4)) == difference(
        everything(4), loopback
    )
    assert clients.local_addresses == {"172.31.0.10", "169.254.20.10"}
    assert set(clients.of(6)) == {Client.OUTSIDE}


def test_without_a_pod_range_pods_are_anywhere_in_the_clusters() -> None:
    node = small.NodeObject(metadata=small.NODE.metadata, status=small.NODE.status)
    kinds = clients_of(node, small.facts()).of(4)
    assert kinds[Client.POD] == kinds[Client.REMOTE_POD] == intervals([network("10.244.0.0/16")])


def further(*addresses: str, **config: object) -> dict[int, list[str]]:
    """The addresses of a dual-stack node where node ports are compared besides its first."""
    status = NodeStatus(
        addresses=[
            NodeAddress("InternalIP", "172.31.0.10"),
            NodeAddress("InternalIP", "fd00:10::10"),
            NodeAddress("ExternalIP", "192.0.2.10"),
        ]
    )
    node = NodeObject(metadata=small.NODE.metadata, spec=small.NODE.spec, status=status)
    found = clients_of(node, small.facts(**config), (), addresses)
    return {family: list(map(str, each)) for family, each in found.further_addresses.items()}


def test_node_ports_may_be_open_at_further_addresses_of_both_families():
    found = further("172.31.0.11", "fd00:10::11", "10.9.0.1", "172.31.0.11")

    assert found == {4: ["10.9.0.1", "172.31.0.11"], 6: ["fd00:10::11"]}


def test_the_first_addresses_are_no_further_ones():
    assert further("172.31.0.10", "fd00:10::10", "192.0.2.10") == {4: ["192.0.2.10"], 6: []}


def test_link_local_addresses_of_ipv6_need_a_zone_and_are_left_out():
    assert further("fe80::1", "169.254.20.10") == {4: ["169.254.20.10"], 6: []}


def test_loopback_is_open_in_iptables_mode_at_one_address():
    addresses = ("127.0.0.1", "127.0.0.2", "::1")

    assert further(*addresses) == {4: ["127.0.0.1"], 6: []}
    assert further(*addresses, mode="ipvs") == {4: [], 6: []}
    assert further(*addresses, mode="nftables") == {4: [], 6: []}


def test_a_family_without_an_address_of_the_node_has_no_node_ports():
    found = clients_of(small.NODE, small.facts(), (), ("fd00:10::11", "172.31.0.11"))

    assert set(found.further_addresses) == {4}
    assert {family: str(each) for family, each in found.node_addresses.items()} == {
        4: "172.31.0.10"
    }


def test_only_detection_by_interface_uses_the_local_interface():
    detect = {"bridgeInterface": "cni0", "interfaceNamePrefix": "veth"}
    found = {
        mode: clients_of(
            small.NODE, small.facts(detectLocalMode=mode, detectLocal=detect)
        ).local_interface
        for mode in ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")
    }
    assert found == {
        "ClusterCIDR": "",
        "NodeCIDR": "",
        "BridgeInterface": "cni0",
        "InterfaceNamePrefix": "veth",
    }


def test_the_node_itself_is_no_pod_even_if_its_address_is_in_a_pod_range():
    status = NodeStatus(addresses=[NodeAddress("InternalIP", "10.244.1.1")])
    node = NodeObject(metadata=small.NODE.metadata, spec=small.NODE.spec, status=status)
    kinds = clients_of(node, small.facts()).of(4)

    own = intervals([network("10.244.1.1/32")])
    assert kinds[Client.NODE] == own
    assert kinds[Client.POD] == difference(intervals([network("10.244.1.0/24")]), own)


def test_to_localhost_only_the_node_itself_connects():
    found = small.clients().on_localhost

    assert dict(found.of(4)) == {Client.NODE: intervals([network("127.0.0.1/32")])}
    assert dict(found.of(6)) == {}
