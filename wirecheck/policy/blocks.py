"""ipBlocks, and the areas of the address space that they tell apart."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv6Address, collapse_addresses, summarize_address_range

from wirecheck.addresses import IPAddress, IPNetwork, api_network
from wirecheck.snapshot.objects.network_policy import IpBlock

WIDTHS = {4: 32, 6: 128}
MOST_BLOCKS = 4_096


@dataclass(frozen=True)
class Block:
    """An ipBlock as ranges; None if a range of it cannot be read."""

    text: str
    range: IPNetwork | None
    excluded: tuple[IPNetwork, ...] = ()

    def covers(self, address: IPAddress) -> bool:
        """Whether the address is in the range and in no exception."""
        return self.range is not None and (
            _within(address, self.range) and not any(_within(address, e) for e in self.excluded)
        )

    @property
    def ranges(self) -> tuple[IPNetwork, ...]:
        """The range and its exceptions."""
        return () if self.range is None else (self.range, *self.excluded)


def block_of(block: IpBlock) -> Block:
    """The ipBlock. One with a range that cannot be read has none, so that it decides nothing."""
    return _block_of(block.cidr, tuple(block.excluded))


@lru_cache(maxsize=MOST_BLOCKS)
def _block_of(cidr: str, excluded: tuple[str, ...]) -> Block:
    """The same; each rule of each policy asks again for every peer."""
    ranges = [api_network(each) for each in excluded]
    known = tuple(each for each in ranges if each is not None)
    found = api_network(cidr) if len(known) == len(ranges) else None
    # `10.0.0.0/8 except 10.1.0.0/16`
    text = cidr + (f" except {', '.join(excluded)}" if excluded else "")
    return Block(text, found, known)


@dataclass(frozen=True)
class BlockMap:
    """The address space, cut where an ipBlock begins or ends."""

    blocks: tuple[Block, ...]
    _covering: dict[tuple[int, int], frozenset[str]] = field(default_factory=dict, repr=False)
    """By family and the first address of a piece."""

    @cached_property
    def _starts(self) -> Mapping[int, Sequence[int]]:
        return {family: _starts(self.blocks, family) for family in WIDTHS}

    def covering(self, addresses: Iterable[IPAddress]) -> frozenset[str]:
        """The texts of the blocks that cover one of the addresses."""
        if not self.blocks:
            return frozenset()
        return frozenset().union(*(self._of_piece(a.version, int(a)) for a in addresses))

    def _of_piece(self, family: int, number: int) -> frozenset[str]:
        starts = self._starts[family]
        first = starts[bisect_right(starts, number) - 1]
        if (family, first) not in self._covering:
            member = _address(family, first)
            found = frozenset(each.text for each in self.blocks if each.covers(member))
            self._covering[family, first] = found
        return self._covering[family, first]

    @property
    def areas(self) -> Mapping[frozenset[str], list[IPNetwork]]:
        """All addresses, by the blocks that cover them."""
        found: defaultdict[frozenset[str], list[IPNetwork]] = defaultdict(list)
        for family, width in WIDTHS.items():
            starts = self._starts[family]
            for first, following in zip(starts, [*starts[1:], 1 << width], strict=True):
                covered_by = self._of_piece(family, first)
                found[covered_by] += _networks(family, first, following - 1)
        return {key: _collapsed(ranges) for key, ranges in found.items()}


def _starts(blocks: Iterable[Block], family: int) -> list[int]:
    """The addresses where a range begins, or where one has just ended."""
    ranges = [each for b in blocks for each in b.ranges if each.version == family]
    limit = 1 << WIDTHS[family]
    ends = {int(each.broadcast_address) + 1 for each in ranges}
    return sorted({0} | {int(each.network_address) for each in ranges} | (ends - {limit}))


def _within(address: IPAddress, range_: IPNetwork) -> bool:
    return address.version == range_.version and address in range_


def _address(family: int, number: int) -> IPAddress:
    return IPv4Address(number) if family == 4 else IPv6Address(number)


def _networks(family: int, first: int, last: int) -> list[IPNetwork]:
    if family == 4:
        return list(summarize_address_range(IPv4Address(first), IPv4Address(last)))
    return list(summarize_address_range(IPv6Address(first), IPv6Address(last)))


def _collapsed(ranges: list[IPNetwork]) -> list[IPNetwork]:
    of_4 = [each for each in ranges if each.version == 4]
    of_6 = [each for each in ranges if each.version == 6]
    return [*collapse_addresses(of_4), *collapse_addresses(of_6)]
