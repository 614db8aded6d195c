"""Which addresses the packet filter of a node tells apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, network
from wirecheck.dataplane.rules.set_members import OF_ADDRESS_AND_PORT, IpsetMembers
from wirecheck.policy.packet_filters import PacketFilters


@dataclass(frozen=True)
class AddressesTold:
    """Which addresses the rules of a node tell apart."""

    filters: PacketFilters
    family: int

    @cached_property
    def _single(self) -> dict[int, set[object]]:
        """What names a single address, by its number."""
        found: dict[int, set[object]] = {}
        for range_, what in self._named:
            if range_.prefixlen == range_.max_prefixlen:
                found.setdefault(int(range_.network_address), set()).add(what)
        return found

    @cached_property
    def ranges(self) -> tuple[IPNetwork, ...]:
        """The ranges that rules or sets name, other than single addresses."""
        wide = (each for each, _ in self._named if each.prefixlen < each.max_prefixlen)
        return tuple(dict.fromkeys(wide))

    @property
    def members(self) -> Sequence[IPAddress]:
        """The single addresses in sets."""
        return tuple(self._members)

    @property
    def _members(self) -> Iterator[IPAddress]:
        for members in self.filters.used_sets(self.family).values():
            for each in () if members.is_large else members.networks:
                if each.prefixlen == each.max_prefixlen and each.version == self.family:
                    yield each.network_address

    @cached_property
    def _named(self) -> tuple[tuple[IPNetwork, object], ...]:
        return tuple(self._all())

    def _all(self) -> Iterator[tuple[IPNetwork, object]]:
        family = self.family
        for text in (*self.filters.source_ranges(family), *self.filters.hosts(family)):
            yield network(text), text
        for name, members in self.filters.used_sets(family).items():
            if members.is_large:
                continue
            if members.type in OF_ADDRESS_AND_PORT:
                for port, ranges in (members.by_port or {}).items():
                    yield from ((each, (name, port)) for each in ranges.networks)
            else:
                yield from ((each, name) for each in members.networks)

    @cached_property
    def _large(self) -> tuple[tuple[str, IpsetMembers], ...]:
        """Block lists of other programs: only the pods in them are of interest."""
        used = self.filters.used_sets(self.family)
        return tuple((name, each) for name, each in used.items() if each.is_large)

    @cached_property
    def _by_length(self) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for each in self.ranges:
            if each.version == self.family:
                found.setdefault(each.prefixlen, set()).add(int(each.network_address))
        return found

    def of(self, address: IPAddress) -> tuple[object, ...]:
        """Equal for addresses that the rules do not tell apart."""
        number, width = int(address), address.max_prefixlen
        starts = ((n, number >> (width - n) << (width - n)) for n in self._by_length)
        within = tuple((n, start) for n, start in starts if start in self._by_length[n])
        listed = tuple(name for name, each in self._large if each.mentions(address))
        return frozenset(self._single.get(number, ())), within, listed
