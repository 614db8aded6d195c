"""Clients connect from unprivileged ports: which conditions on the source port they match."""

from __future__ import annotations

import pytest

from wirecheck.dataplane.rules.source_ports import matches_clients


@pytest.mark.parametrize(
    ("spans", "holds"),
    [
        ([(53, 53)], False),
        ([("22", "22"), ("80", "80"), ("1", "1023")], False),
        ([(1024, 65535)], True),
        ([(0, 65535)], True),
        ([(30000, 65535), (1, 32767)], True),
        ([(1024, 40000), (40001, 65535)], True),
        ([(32768, 60999)], None),
        ([(1024, 39999), (40001, 65535)], None),
        ([(5353, 5353)], None),
        ([(53, 53), (40000, 40000)], None),
    ],
)
def test_whether_clients_match(spans: list[tuple[int, int]], holds: bool | None) -> None:
    assert matches_clients(spans) is holds
