"""The entries of eBPF maps as tuples, by the layout of each map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from re import Pattern
from typing import Any

from wirecheck.dataplane.ebpf.layouts import layout_of
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.ebpf_maps import EbpfMap

Net16 = Callable[[int], int]
"""Returns a number of two bytes that is in network byte order."""


def in_use(maps: Iterable[EbpfMap], names: Pattern[str]) -> Iterator[EbpfMap]:
    """The maps with such names: of one subject and family, the newest version.

    An upgrade of Cilium may leave the map of the older version pinned. Raises ParseError for a map
    that is there twice, and where an unknown version is newer than the known one: that may be the
    one that is left over.
    """
    versions: dict[tuple[str, str], list[EbpfMap]] = {}
    for each in maps:
        if match := names.fullmatch(each.name):
            versions.setdefault((match["subject"], match["family"]), []).append(each)
    return map(_chosen, versions.values())


def _chosen(rivals: list[EbpfMap]) -> EbpfMap:
    newest = max(rivals, key=_version)
    known = [each for each in rivals if _is_known(each)]
    if len({each.name for each in rivals}) < len(rivals):
        raise ParseError(f"eBPF map {newest.name} is there twice")
    if known and newest not in known:
        raise ParseError(
            f"eBPF map {newest.name} is pinned beside {known[0].name}, and only the layout of the "
            "older one is known: which of them Cilium uses is unclear"
        )
    return newest


def _version(found: EbpfMap) -> int:
    """2 for `cilium_lb4_services_v2`; a name without a version is the first one's."""
    number = found.name.rpartition("_v")[2]
    return int(number[:9]) if number.isdecimal() and number.isascii() else 1


def _is_known(found: EbpfMap) -> bool:
    try:
        layout_of(found)
    except ParseError:
        return False
    return True


def entries_of(found: EbpfMap, byte_order: str) -> Iterator[tuple[Any, ...]]:
    """Every entry. Raises ParseError for a map that is incomplete, damaged or unknown."""
    data = data_of(found)
    return layout_of(found).entries(byte_order).iter_unpack(data)


def data_of(found: EbpfMap) -> bytes:
    """The keys and values, one after the other. Raises ParseError like `entries_of`."""
    layout_of(found)
    if not found.is_complete:
        raise ParseError(
            f"eBPF map {found.name}: only {found.count:,} entries were read before a limit"
        )
    try:
        return found.data
    except ValueError as error:
        raise ParseError(f"eBPF map {found.name}: its entries are damaged: {error}") from error


def net16(byte_order: str) -> Net16:
    """The conversion on a node with this byte order."""
    if byte_order == "little":
        return lambda value: (value & 0xFF) << 8 | value >> 8
    return lambda value: value


@lru_cache(maxsize=200_000)
def address_of(data: bytes) -> str:
    """The address with these 4 or 16 bytes."""
    return str(IPv4Address(data) if len(data) == 4 else IPv6Address(data))
