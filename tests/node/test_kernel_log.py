"""Lines of the kernel log: which are genuine, and how they become events."""

from __future__ import annotations

from wirecheck.node.kernel_log import genuine, log_events
from wirecheck.snapshot.node_document import KernelLine

FULL, FLOOD = "conntrack table full", "syn flood"
TABLE_FULL = "nf_conntrack: nf_conntrack: table full, dropping packet"


def test_a_line_counts_if_its_text_is_that_of_its_pattern() -> None:
    real, of_older_program = KernelLine(1.0, FULL, TABLE_FULL), KernelLine(2.0, "full", TABLE_FULL)
    segfault = KernelLine(3.0, FULL, "conntrack[4242]: segfault at 0")
    other_pattern = KernelLine(4.0, FLOOD, TABLE_FULL)
    no_pattern = KernelLine(5.0, "full", "usb 1-1: new device")

    lines = [segfault, real, other_pattern, of_older_program, no_pattern]
    assert list(genuine(lines)) == [real, of_older_program]


def test_lines_of_one_pattern_are_one_event_by_the_last_of_them() -> None:
    first, last = KernelLine(60.0, FULL, "first"), KernelLine(180.0, FULL, "last")
    flood = KernelLine(240.0, FLOOD, "flood")

    full, flooded = log_events([flood, last, first], now=300.0)

    assert (full.pattern, full.text, full.times, full.age_minutes) == (FULL, "last", 2, 2.0)
    assert (full.since.at, full.when) == (60.0, "1970-01-01 00:03:00 UTC")
    assert str(full) == "'last' at 1970-01-01 00:03:00 UTC, 2 times in the log"
    assert (flooded.pattern, flooded.times, flooded.age_minutes) == (FLOOD, 1, 1.0)


def test_without_lines_there_are_no_events() -> None:
    assert list(log_events([], now=300.0)) == []
