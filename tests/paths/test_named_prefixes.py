"""The addresses that rules name, in the words of each tool."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from wirecheck.paths.named_prefixes import Span, named_in


def span(first: str, last: str = "") -> Span:
    one, other = ip_address(first), ip_address(last or first)
    return Span(one.version, int(one), int(other))


def of(prefix: str) -> Span:
    known = ip_network(prefix)
    return span(str(known.network_address), str(known.broadcast_address))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "-A FORWARD -s 10.244.1.0/24 ! -d 10.96.0.9/32 -j DROP",
            ["10.244.1.0/24", "10.96.0.9/32"],
        ),
        ("-A INPUT -s fd00:1::/64 -j ACCEPT", ["fd00:1::/64"]),
        ('{"prefix": {"addr": "10.244.0.0", "len": 16}}', ["10.244.0.0/16"]),
        ("10.9.8.7,tcp:443", ["10.9.8.7/32"]),
        ("-m mac --mac-source 0a:1b:2c:3d:4e:5f -m time --timestart 12:30:00", []),
    ],
)
def test_prefixes(text: str, expected: list[str]) -> None:
    assert {of(each) for each in expected} <= named_in(text)
    assert bool(expected) or named_in(text) == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "-m iprange --src-range 10.244.1.5-10.244.1.9 -j DROP",
        '{"set": {"elem": [{"range": ["10.244.1.5", "10.244.1.9"]}]}}',
    ],
)
def test_ranges(text: str) -> None:
    assert span("10.244.1.5", "10.244.1.9") in named_in(text)


def test_text_that_is_no_address_names_none() -> None:
    assert named_in("999.1.1.1/8 10.0.0.0/99 ::::/3 a:b") == frozenset()
