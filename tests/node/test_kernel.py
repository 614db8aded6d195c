"""The kernel of one node: neighbour tables, the reach of its log, its clock."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.kernel import Kernel
from wirecheck.snapshot.node_document import Host, KernelLine

ARP_LIMIT = "/proc/sys/net/ipv4/neigh/default/gc_thresh3"
NDP_LIMIT = "/proc/sys/net/ipv6/neigh/default/gc_thresh3"
ARP, NDP = "/proc/net/stat/arp_cache", "/proc/net/stat/ndisc_cache"


def tables(small: SmallCluster) -> list[tuple[str, int, int]]:
    found = small.node.kernel.neighbour_tables
    return [(each.ref.part, each.entries, each.limit) for each in found]


def test_the_entries_of_both_tables_are_read_as_hexadecimal(small: SmallCluster) -> None:
    small.change_file(NDP_LIMIT, "2048")
    small.change_file(NDP, "allocs  entries\n00000001  0000001f\n")

    assert tables(small) == [("ARP table", 16, 1024), ("NDP table", 31, 2048)]


def test_a_table_without_a_limit_or_statistics_is_left_out(small: SmallCluster) -> None:
    small.change_file(NDP_LIMIT, "2048")
    assert [name for name, _, _ in tables(small)] == ["ARP table"]

    small.change_file(ARP_LIMIT, None)
    with pytest.raises(NotApplicable, match="does not show the limits"):
        tables(small)


@pytest.mark.parametrize("text", ["", "entries\n", "other\n00000010\n", "entries\nmany\n"])
def test_statistics_in_another_format_are_an_error(small: SmallCluster, text: str) -> None:
    small.change_file(ARP, text)

    with pytest.raises(FactMissingError, match="arp_cache on n1 has an unrecognised format"):
        tables(small)


def test_messages_that_other_checks_evaluate_are_no_network_errors(small: SmallCluster) -> None:
    texts = {
        "conntrack table full": "nf_conntrack: nf_conntrack: table full, dropping packet",
        "syn flood": "TCP: request_sock_TCP: Possible SYN flooding on port 80",
        "neighbour table overflow": "neighbour: arp_cache: neighbor table overflow!",
    }
    small.change_document(kernel_log=[KernelLine(900.0, *each) for each in texts.items()])

    found = list(small.node.kernel.network_errors)
    assert [each.pattern for each in found] == ["neighbour table overflow"]
    assert found[0].age_minutes == pytest.approx(102 / 60)


def with_log(small: SmallCluster, begin: float | None, uptime: float = 90_000.0) -> Kernel:
    """A visit that ends at 100,000 s, and a log that begins there."""
    small.change_document(
        finished=100_000.0, kernel_log_from=begin, host=Host("n1", cpus=2, uptime=uptime)
    )
    return small.node.kernel


@pytest.mark.parametrize(
    ("begin", "uptime", "is_complete"),
    [
        (None, 90_000.0, True),
        (96_400.0, 90_000.0, True),
        (96_401.0, 90_000.0, False),
        (99_060.0, 1_000.0, True),
        (99_061.0, 1_000.0, False),
        (10_000.0, 90_000.0, True),
    ],
    ids=["unknown", "covers it", "one second short", "from the boot", "after it", "long"],
)
def test_a_log_is_complete_if_it_covers_the_time_or_begins_with_the_boot(
    small: SmallCluster, begin: float | None, uptime: float, is_complete: bool
) -> None:
    gap = with_log(small, begin, uptime).log_gap(60.0)

    assert (gap == "") is is_complete
    assert is_complete or gap.startswith("messages before 1970-01-02 ")


@pytest.mark.parametrize(
    ("started", "finished", "skew"),
    [
        (1000.0, 1002.0, 0.0),
        (1000.5, 1001.5, 0.0),
        (1000.0, 1002.5, 0.5),
        (999.5, 1001.0, -0.5),
        (990.0, 1012.0, 10.0),
    ],
)
def test_what_lies_outside_of_the_round_is_skew(
    small: SmallCluster, started: float, finished: float, skew: float
) -> None:
    assert small.document
    small.document = replace(small.document, started=started, finished=finished)

    assert small.node.kernel.clock_skew == skew
