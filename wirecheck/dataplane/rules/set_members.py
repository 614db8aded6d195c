"""Which addresses and ports are in an ipset, for packets of which both ends are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, network
from wirecheck.parse.ipset import Ipset

Port = tuple[str, int]
"""A protocol and a port number: `("tcp", 80)`."""
OF_ADDRESSES = frozenset({"hash:ip", "hash:net"})
OF_ADDRESS_AND_PORT = frozenset({"hash:ip,port", "hash:net,port"})
OF_PORTS = "bitmap:port"
MOST_ENTRIES = 16_384
"""More than pods that one policy names on any node; block lists have 100,000."""


WIDTHS = {4: 32, 6: 128}


class Ranges:
    """Ranges of addresses, some of them excluded again. The most specific range decides.

    The kernel looks from the longest prefix to the shortest (mtype_test_cidrs), and a range with
    `nomatch` ends the search.
    """

    def __init__(self, included: Iterable[IPNetwork], excluded: Iterable[IPNetwork] = ()) -> None:
        inside, outside = tuple(included), tuple(excluded)
        self.networks = (*inside, *outside)
        self._kinds = {_key(each): True for each in inside} | {_key(e): False for e in outside}
        self._lengths = {
            family: sorted({n for of, n, _ in self._kinds if of == family}, reverse=True)
            for family in (4, 6)
        }

    def has(self, address: IPAddress) -> bool:
        """Whether the address is in one of them."""
        return self.has_number(address.version, int(address))

    def has_number(self, family: int, number: int) -> bool:
        """The same for the number of an address."""
        width = WIDTHS[family]
        for length in self._lengths[family]:
            start = number >> (width - length) << (width - length)
            kind = self._kinds.get((family, length, start))
            if kind is not None:
                return kind
        return False

    @cached_property
    def singles(self) -> Mapping[int, frozenset[int] | None]:
        """By family, the numbers of the addresses; None if there are ranges of several."""
        return {family: self._singles(family, width) for family, width in WIDTHS.items()}

    def _singles(self, family: int, width: int) -> frozenset[int] | None:
        if set(self._lengths[family]) - {width}:
            return None
        found = (n for (of, _, n), is_in in self._kinds.items() if of == family and is_in)
        return frozenset(found)


class IpsetMembers:
    """The members of one set."""

    def __init__(self, ipset: Ipset) -> None:
        self.type = ipset.type
        self._ipset = ipset

    @cached_property
    def addresses(self) -> Ranges | None:
        """The members of a set of addresses; None if an entry cannot be read."""
        with suppress(ValueError):
            entries, excluded = self._ipset.entries, self._ipset.excluded
            return Ranges([*map(network, entries)], [*map(network, excluded)])
        return None

    @cached_property
    def by_port(self) -> dict[Port, Ranges] | None:
        """The addresses for each port, of a set of both; None if an entry cannot be read.

        Of overlapping ranges the most specific decides whatever its port is, so exceptions in such
        a set are not followed.
        """
        found: dict[Port, list[IPNetwork]] = {}
        if self._ipset.excluded:
            return None
        try:
            for entry in self._ipset.entries:
                host, _, port = entry.partition(",")
                found.setdefault(_port(port), []).append(network(host))
        except ValueError:
            return None
        return {port: Ranges(each) for port, each in found.items()}

    @cached_property
    def port_numbers(self) -> frozenset[int]:
        """The members of a set of port numbers."""
        with suppress(ValueError):
            return frozenset(map(int, self._ipset.entries))
        return frozenset()

    @property
    def is_large(self) -> bool:
        """Whether it has more entries than sets of policies have, as block lists do."""
        return len(self._ipset.entries) > MOST_ENTRIES

    def mentions(self, address: IPAddress) -> bool:
        """Whether the address is in it, with whatever port."""
        return self._mentioned.has(address)

    @cached_property
    def _mentioned(self) -> Ranges:
        return Ranges(dict.fromkeys(self.networks))

    @property
    def networks(self) -> Iterator[IPNetwork]:
        """All ranges and addresses that are named."""
        if self.type in OF_ADDRESSES and self.addresses:
            yield from self.addresses.networks
        elif self.type in OF_ADDRESS_AND_PORT:
            for each in (self.by_port or {}).values():
                yield from each.networks

    @property
    def ports(self) -> Iterator[Port]:
        """All ports that are named."""
        if self.type in OF_ADDRESS_AND_PORT:
            yield from self.by_port or {}
        elif self.type == OF_PORTS:
            yield from ((protocol, n) for n in self.port_numbers for protocol in ("tcp", "udp"))


def _port(text: str) -> Port:
    """`tcp:8080`; a plain number is one of TCP."""
    protocol, _, number = text.rpartition(":")
    return protocol or "tcp", int(number)


def _key(each: IPNetwork) -> tuple[int, int, int]:
    return each.version, each.prefixlen, int(each.network_address)
