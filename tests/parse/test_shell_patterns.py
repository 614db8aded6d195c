"""Patterns of file names from Corefiles and settings."""

from __future__ import annotations

import pytest

from wirecheck.parse.shell_patterns import matches


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("/etc/coredns/custom/a.server", "/etc/coredns/custom/*.server", True),
        ("/etc/coredns/custom/a.override", "/etc/coredns/custom/*.server", False),
        ("eth0", "eth[0-9]", True),
        ("[a]", "[[]a]", True),
        ("a" * 20, "[a]" * 20, False),
    ],
)
def test_patterns(name: str, pattern: str, *, expected: bool) -> None:
    assert matches(name, pattern) is expected


def test_brackets_without_end_cost_nothing() -> None:
    assert not [number for number in range(1000) if matches("s", "s" + "[" * (19_000 + number))]
