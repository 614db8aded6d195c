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
