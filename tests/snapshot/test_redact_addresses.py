"""The mapping of addresses: one to one, prefixes kept, well-known ranges left alone."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirecheck.snapshot.redact_addresses import AddressMap

MAP = AddressMap(b"k" * 32, [ip_network("10.244.0.0/16"), ip_network("10.244.1.0/24")])
ANY = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


def common(left, right) -> int:
    """How many first bits are the same."""
    bits = left.max_prefixlen
    return bits - (int(left) ^ int(right)).bit_length()


@given(st.one_of(*(st.tuples(*[st.ip_addresses(v=family)] * 2) for family in (4, 6))))
def test_two_addresses_share_as_long_a_prefix_as_before(pair):
    one, other = pair

    assert common(MAP.address(one), MAP.address(other)) == common(one, other)


@given(ANY)
def test_well_known_addresses_and_no_others_are_well_known_after(known):
    mapped = MAP.address(known)

    for each in ("is_loopback", "is_multicast", "is_unspecified", "is_link_local"):
        assert getattr(mapped, each) == getattr(known, each), each


@given(st.ip_addresses(v=4, network="10.0.0.0/8"), st.integers(8, 32))
def test_an_address_stays_inside_its_range(known, length):
    range_ = ip_network(f"{known}/{length}", strict=False)

    assert MAP.address(known) in MAP.network(range_)
    assert MAP.network(range_).prefixlen == length


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0/0",
        "0.0.0.0",
        "127.0.0.11",
        "169.254.20.10",
        "169.254.0.0/16",
        "224.0.0.1",
        "255.255.255.255",
        "::/0",
        "::1",
        "::",
        "ff02::1",
        "fe80::/64",
    ],
)
def test_well_known_ones_stay(text):
    assert MAP.text(text) == text


def test_a_networks_own_address_stays_its_own_and_so_does_the_next():
    range_ = ip_network(MAP.text("10.244.1.0/24"))

    assert ip_address(MAP.text("10.244.1.0")) == range_[0]
    assert ip_address(MAP.text("10.244.1.1")) == range_[1]
    assert ip_address(MAP.text("10.244.0.0")) == ip_network(MAP.text("10.244.0.0/16"))[0]


def test_an_interface_with_its_range_keeps_both():
    text = MAP.text("10.244.1.17/24")

    assert text == f"{MAP.text('10.244.1.17')}/24"
    assert ip_network(text, strict=False) == ip_network(MAP.text("10.244.1.0/24"))


def test_the_interface_identifier_of_a_link_local_address_is_mapped():
    mapped = ip_address(MAP.text("fe80::5c67:74ff:fe60:f7da"))

    assert mapped in ip_network("fe80::/64")
    assert str(mapped) != "fe80::5c67:74ff:fe60:f7da"


def test_an_ipv4_address_inside_an_ipv6_one_is_the_same_one():
    mapped = ip_address(MAP.text("::ffff:10.244.1.17"))

    assert str(mapped.ipv4_mapped) == MAP.text("10.244.1.17")


def test_another_key_gives_another_mapping():
    other = AddressMap(b"x" * 32)

    assert other.text("10.244.1.17") != MAP.text("10.244.1.17")
    assert AddressMap(b"x" * 32).text("10.244.1.17") == other.text("10.244.1.17")


@pytest.mark.parametrize("text", ["1.2.3", "10.0.0.0/99", "web"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - as ipaddress words it
        MAP.text(text)
