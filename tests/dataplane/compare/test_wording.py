"""What was expected and found, in words."""

from __future__ import annotations

import pytest

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.compare.wording import (
    affinity_of,
    listed,
    shares_of,
    sources_of,
    verdict_of,
)
from wirecheck.dataplane.table import Handling, Verdict

EIGHT = tuple(Backend("10.244.1.2", 8000 + number) for number in range(8))
NINE = (*EIGHT, Backend("10.244.1.3", 80))
TWO = EIGHT[:2]


@pytest.mark.parametrize(
    ("handling", "words"),
    [
        (Handling(Verdict.FORWARD, TWO), "forwarded to 10.244.1.2:8000, 10.244.1.2:8001"),
        (Handling(Verdict.REJECT), "rejected"),
        (Handling(Verdict.NOT_UNDERSTOOD, reason="-m geoip"), "unrecognised: -m geoip"),
    ],
)
def test_a_verdict_says_where_connections_go_or_why_they_do_not(handling: Handling, words: str):
    assert verdict_of(handling) == words


def test_eight_backends_are_all_named_and_of_nine_one_is_counted():
    assert listed(EIGHT).endswith("10.244.1.2:8007")
    assert listed(NINE).endswith("10.244.1.2:8007 and 1 more")


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ((0.5, 0.5), "50.00% to each of 2"),
        ((0.25, 0.75), "25.00% to 10.244.1.2:8000, 75.00% to 10.244.1.2:8001"),
        ((0.75, 0.25), "75.00% to 10.244.1.2:8000, 25.00% to 10.244.1.2:8001"),
    ],
)
def test_even_shares_are_one_number(shares: tuple[float, ...], words: str):
    assert shares_of(Handling(Verdict.FORWARD, TWO, shares)) == words


def test_uneven_shares_of_nine_backends_show_eight():
    uneven = (0.2, *[0.1] * 8)

    assert shares_of(Handling(Verdict.FORWARD, EIGHT, uneven[:8])).endswith("10.244.1.2:8007")
    assert shares_of(Handling(Verdict.FORWARD, NINE, uneven)).endswith(" and 1 more")


@pytest.mark.parametrize(
    ("affinity", "words"),
    [
        ((0,), "no affinity"),
        ((10800,), "affinity of 10800 s"),
        ((0, 60), "no affinity or affinity of 60 s"),
    ],
)
def test_affinity_in_seconds(affinity: tuple[int, ...], words: str):
    assert affinity_of(Handling(Verdict.FORWARD, affinity=affinity)) == words


def test_sources_are_cut_after_eight():
    ranges = tuple(f"10.{number}.0.0/16" for number in range(9))

    assert sources_of(None) == "from all addresses"
    assert sources_of(ranges[:2]) == "only from 10.0.0.0/16, 10.1.0.0/16"
    assert sources_of(ranges).endswith("10.7.0.0/16")
