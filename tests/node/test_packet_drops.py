"""Dropped packets between two samples of a node's counters, and how full a table is."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.node.packet_drops import PacketDrops, packet_drops
from wirecheck.node.table_usage import TableUsage
from wirecheck.snapshot.netns import Link, Namespace
from wirecheck.snapshot.node_document import Counters, Host, TrafficSample

BEFORE = Counters(
    received=1000, receive_errors=30, receive_dropped=50, sent=3000, send_errors=7, send_dropped=9
)
LATER = Counters(
    received=1500, receive_errors=31, receive_dropped=69, sent=3700, send_errors=10, send_dropped=20
)


def drops(
    first: dict[str, Counters],
    *later: dict[str, Counters],
    queues: tuple[int, int] = (0, 0),
    host: Host = Host("n1"),  # noqa: B008
) -> list[PacketDrops]:
    document = SmallCluster().document
    assert document
    samples = [
        TrafficSample(0.0, queues[0], first),
        *(TrafficSample(2.0, queues[1], e) for e in later),
    ]
    links = [Link(2, "eth0"), Link(3, "vxlan0", kind="vxlan"), Link(4, "wg0", kind="wireguard")]
    netns = Namespace(inode=1, links=links)
    return list(
        packet_drops("n1", replace(document, traffic=samples, host=host, namespaces=[netns]))
    )


def test_each_direction_counts_its_errors_and_drops() -> None:
    assert drops({"eth0": BEFORE}, {"eth0": LATER}) == [
        PacketDrops("eth0, incoming", dropped=20, passed=500),
        PacketDrops("eth0, outgoing", dropped=14, passed=700),
    ]


@pytest.mark.parametrize(("dropped", "is_found"), [(9, False), (10, True)])
def test_fewer_than_ten_drops_are_no_percentage(dropped: int, is_found: bool) -> None:
    later = replace(BEFORE, receive_dropped=BEFORE.receive_dropped + dropped)

    assert bool(drops({"eth0": BEFORE}, {"eth0": later})) is is_found


def test_the_first_and_the_last_sample_are_compared() -> None:
    between = replace(BEFORE, receive_dropped=9999)

    assert len(drops({"eth0": BEFORE}, {"eth0": between}, {"eth0": LATER})) == 2


@pytest.mark.parametrize("name", ["vxlan0", "wg0"])
def test_tunnels_drop_what_they_have_no_peer_for(name: str) -> None:
    assert not drops({name: BEFORE}, {name: LATER})


def test_a_device_that_was_created_or_recreated_is_not_compared() -> None:
    recreated = replace(LATER, received=999)

    assert not drops({}, {"eth0": LATER})
    assert not drops({"eth0": BEFORE}, {"eth0": recreated})
    assert not drops({"eth0": BEFORE}, {})
    # Other devices are compared nevertheless.
    assert len(drops({"a": BEFORE, "eth0": BEFORE}, {"a": recreated, "eth0": LATER})) == 2


def test_an_idle_device_can_drop_packets() -> None:
    idle = replace(BEFORE, receive_dropped=BEFORE.receive_dropped + 10)

    assert drops({"eth0": BEFORE}, {"eth0": idle}) == [PacketDrops("eth0, incoming", 10, 0)]


def test_the_queues_of_the_cpus_are_compared_with_what_all_devices_received() -> None:
    one, other = replace(BEFORE, received=1100), replace(BEFORE, received=1010)

    queued = drops({"a": BEFORE, "b": BEFORE}, {"a": one, "b": other}, queues=(3, 15))

    assert queued == [PacketDrops("queues of the CPUs", dropped=12, passed=110)]


def test_a_container_shows_the_queues_of_its_host() -> None:
    virtual = Host("n1", virtualised="vm")

    assert not drops({}, {}, queues=(0, 99), host=Host("n1", virtualised="container"))
    assert len(drops({}, {}, queues=(0, 99), host=virtual)) == 1


def test_one_sample_shows_no_drops() -> None:
    with pytest.raises(NotApplicable, match="not read twice"):
        drops({"eth0": BEFORE})


def test_counters_that_could_not_be_read_are_an_error() -> None:
    document = SmallCluster().document
    assert document
    failed = replace(document, traffic=None, problems=["Traffic: OSError."])

    with pytest.raises(FactMissingError, match="n1: Traffic: OSError"):
        list(packet_drops("n1", failed))
    with pytest.raises(NotApplicable):
        list(packet_drops("n1", replace(document, traffic=None)))


@pytest.mark.parametrize(
    ("dropped", "passed", "percent"), [(10, 30, 25.0), (10, 0, 100.0), (12, 12, 50.0)]
)
def test_the_percentage_is_that_of_all_packets(dropped: int, passed: int, percent: float) -> None:
    assert PacketDrops("eth0", dropped, passed).percent == percent


@pytest.mark.parametrize(
    ("entries", "limit", "use"),
    [(0, 200, 0.0), (50, 200, 25.0), (200, 200, 100.0), (300, 200, 150.0), (0, 0, 100.0)],
)
def test_a_table_without_room_is_full(entries: int, limit: int, use: float) -> None:
    assert TableUsage(Ref("Node", "n1"), entries, limit).use == use
