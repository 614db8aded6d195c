"""Replaces addresses and keeps prefixes: addresses that share a prefix still share one.

The construction is Crypto-PAn's (Xu, Fan, Ammar, Moon: "Prefix-preserving IP address
anonymization", 2002): whether a bit is flipped is decided by a keyed pseudo-random function of
the bits before it. The function is keyed BLAKE2b. Three things differ from it: well-known ranges
map to themselves, so that loopback stays loopback; a network's own address stays the network's,
because overlays use it (flannel's device has the one of the node's pod CIDR), and so does the
address after it; and an IPv4 address inside an IPv6 one is mapped like the IPv4 address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from wirecheck.addresses import IPAddress, IPNetwork

WELL_KNOWN: tuple[IPNetwork, ...] = (
    *map(
        IPv4Network,
        ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
    ),
    *map(IPv6Network, ("::/96", "::ffff:0:0/96", "fe80::/10", "ff00::/8")),
)
LINK_LOCAL = IPv6Network("fe80::/64")
"""Interface identifiers in it derive from MAC addresses, so those bits are mapped."""
BITS = {4: 32, 6: 128}
Prefix = tuple[int, int]
"""Its length, and its bits as a number."""


class AddressMap:
    """A one-to-one mapping of all addresses of both families, determined by `key`.

    The network addresses of `networks` stay network addresses.
    """

    def __init__(self, key: bytes, networks: Iterable[IPNetwork] = ()) -> None:
        self._key = key
        self._fixed = {family: _ancestors(family) for family in BITS}
        self._kept = {
            family: [_prefix(each) for each in WELL_KNOWN if each.version == family]
            for family in BITS
        }
        self._zeros = {family: _zero_paths(networks, family) for family in BITS}
        self.known: dict[str, str] = {}
        """Every address and range that was mapped as text, with its replacement."""

    def address(self, known: IPAddress) -> IPAddress:
        """The replacement of an address."""
        if isinstance(known, IPv6Address):
            if known.ipv4_mapped is not None:
                inner = self.address(known.ipv4_mapped)
                return IPv6Address((0xFFFF << 32) | int(inner))
            return IPv6Address(self._mapped(6, int(known), 128))
        return IPv4Address(self._mapped(4, int(known), 32))

    def network(self, known: IPNetwork) -> IPNetwork:
        """The replacement of a range, of the same length."""
        bits, length = BITS[known.version], known.prefixlen
        host = bits - length
        mapped = self._mapped(known.version, int(known.network_address) >> host, length) << host
        return ip_network((mapped, length)) if known.version == 4 else IPv6Network((mapped, length))

    def text(self, text: str) -> str:
        """The replacement of an address or range as text; raises ValueError if it is neither."""
        if text not in self.known:
            self.known[text] = self._text(text)
        return self.known[text]

    def _text(self, text: str) -> str:
        address, slash, length = text.partition("/")
        known = ip_address(address)
        if not slash:
            return str(self.address(known))
        range_ = ip_network(text, strict=False)
        if range_.network_address == known and int(length) < BITS[known.version]:
            return str(self.network(range_))
        return f"{self.address(known)}/{length}"

    def _mapped(self, family: int, value: int, length: int) -> int:
        """The replacement of the first `length` bits, `value`."""
        mapped = 0
        for depth in range(length):
            before = value >> (length - depth)
            bit = (value >> (length - depth - 1)) & 1
            mapped = mapped << 1 | (bit ^ self._flip(family, depth, before))
        return mapped

    def _flip(self, family: int, depth: int, before: int) -> int:
        """Whether the bit after the first `depth` ones, which are `before`, is flipped."""
        prefix = (depth, before)
        if prefix in self._fixed[family] or prefix in self._zeros[family]:
            return 0
        for length, bits in self._kept[family]:
            if depth >= length and before >> (depth - length) == bits:
                inside = family == 6 and _holds(_prefix(LINK_LOCAL), prefix)
                if not inside:
                    return 0
        data = b"%d/%d/%x" % (family, depth, before)
        return hashlib.blake2b(data, key=self._key, digest_size=1).digest()[0] & 1


def _prefix(range_: IPNetwork) -> Prefix:
    host = BITS[range_.version] - range_.prefixlen
    return range_.prefixlen, int(range_.network_address) >> host


def _holds(outer: Prefix, inner: Prefix) -> bool:
    return inner[0] >= outer[0] and inner[1] >> (inner[0] - outer[0]) == outer[1]


def _ancestors(family: int) -> set[Prefix]:
    """All shorter prefixes of well-known ranges, whose next bit is kept."""
    found: set[Prefix] = set()
    for range_ in (*WELL_KNOWN, LINK_LOCAL):
        if range_.version == family:
            length, bits = _prefix(range_)
            found |= {(depth, bits >> (length - depth)) for depth in range(length)}
    return found


def _zero_paths(networks: Iterable[IPNetwork], family: int) -> set[Prefix]:
    """Each network's prefix, and the longer prefixes that append only zeros to it."""
    found: set[Prefix] = set()
    for range_ in networks:
        if range_.version == family:
            length, bits = _prefix(range_)
            more = range(length, BITS[family])
            found |= {(depth, bits << (depth - length)) for depth in more}
    return found
