"""Addresses in API objects are read as Kubernetes' own components read them."""

from __future__ import annotations

import pytest

from wirecheck.addresses import api_address, api_network


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("10.0.0.8", "10.0.0.8"),
        ("010.0.0.08", "10.0.0.8"),
        ("000000010.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::FFFF:0A00:0001", "10.0.0.1"),
        ("FD00:0:0::1", "fd00::1"),
    ],
)
def test_old_forms_are_read_as_in_go(text: str, known: str) -> None:
    assert str(api_address(text)) == known


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None",
        "localhost",
        "10.0.0",
        "10.0.0.256",
        "0300.0.0.1",
        "10.0.0.1.",
        " 10.0.0.1",
        "10.0.0.1/24",
        "fe80::1%eth0",
        "::1%",
        "1" * 5000,
        "0" * 100_000 + "1.0.0.1",
        "٣.0.0.1",
        "[::1]",
        "10.0.0.1\n",
        "\x00",
        "\ud83d",
    ],
)
def test_everything_else_is_no_address(text: str) -> None:
    assert api_address(text) is None


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("10.244.0.0/24", "10.244.0.0/24"),
        ("010.244.000.0/24", "10.244.0.0/24"),
        ("10.244.0.7/24", "10.244.0.0/24"),
        (" 10.0.0.0/8 ", "10.0.0.0/8"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("fd00::1/64", "fd00::/64"),
    ],
)
def test_ranges_are_read_alike(text: str, known: str) -> None:
    assert str(api_network(text)) == known


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.244.0.0",
        "10.244.0.0/",
        "10.244.0.0/33",
        "10.244.0.0/-1",
        "10.244.0.0/+8",
        "10.244.0.0/255.255.255.0",
        "10.244.0.0/24/24",
        "::ffff:10.0.0.0/24",
        "fd00::/129",
        "fe80::1%eth0/64",
        "10.0.0.0/٨",
        "x" * 100_000,
    ],
)
def test_everything_else_is_no_range(text: str) -> None:
    assert api_network(text) is None
