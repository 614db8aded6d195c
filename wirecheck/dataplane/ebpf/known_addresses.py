"""Who has an address by two maps of Cilium: the ipcache, and the one of the node's endpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from wirecheck.dataplane.ebpf.entries import address_of, entries_of, in_use
from wirecheck.dataplane.ebpf.layouts import OF_ADDRESSES, Subject
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps

BITS_BEFORE = 32
"""Keys of the ipcache begin with the cluster and the family."""
BITS = {4: 32, 6: 128}
FAMILIES = {1: 4, 2: 6}
"""By the numbers that the maps have for them."""
SKIPS_TUNNEL, TUNNEL_IS_IPV6 = 1 << 0, 1 << 2
"""Flags of an entry of the ipcache."""
OF_HOST = 1 << 0
"""The flag of an endpoint that is the node itself."""


class KnownAddress(NamedTuple):
    """An entry of the ipcache."""

    identity: int
    tunnel: str
    """The address of the node to which packets are sent through the tunnel; empty for none."""
    skips_tunnel: bool


class IpCache(NamedTuple):
    """The entries of the node's own cluster."""

    addresses: Mapping[str, KnownAddress]
    ranges: Mapping[tuple[str, int], KnownAddress]
    """By the first address and the length of the prefix."""


class LocalEndpoint(NamedTuple):
    """An entry of the map of the node's own endpoints."""

    device: int
    """The index of the device to which the node delivers."""
    number: int
    identity: int
    is_host: bool


def ipcache_of(document: EbpfMaps) -> IpCache:
    """Decode the ipcache. Raises ParseError if it is missing, incomplete, damaged or unknown."""
    addresses: dict[str, KnownAddress] = {}
    ranges: dict[tuple[str, int], KnownAddress] = {}
    found = _map_of(document, Subject.IPCACHE)
    for prefix, cluster, family, data, identity, tunnel, _, flags in entries_of(
        found, document.byte_order
    ):
        if cluster:
            continue
        version = _version(found, family)
        length = prefix - BITS_BEFORE
        if not 0 <= length <= BITS[version]:
            raise ParseError(f"eBPF map {found.name}: prefix {prefix}")
        address = address_of(data[: BITS[version] // 8])
        known = KnownAddress(identity, _tunnel(tunnel, flags), bool(flags & SKIPS_TUNNEL))
        if length == BITS[version]:
            addresses[address] = known
        else:
            ranges[address, length] = known
    return IpCache(addresses, ranges)


def endpoints_of(document: EbpfMaps) -> Mapping[str, LocalEndpoint]:
    """The node's own endpoints, by address. Raises ParseError like `ipcache_of`."""
    found = _map_of(document, Subject.ENDPOINTS)
    return dict(_endpoints(found, document.byte_order))


def _endpoints(found: EbpfMap, byte_order: str) -> Iterator[tuple[str, LocalEndpoint]]:
    for data, family, device, number, flags, identity in entries_of(found, byte_order):
        address = address_of(data[: BITS[_version(found, family)] // 8])
        yield address, LocalEndpoint(device, number, identity, bool(flags & OF_HOST))


def _map_of(document: EbpfMaps, subject: Subject) -> EbpfMap:
    for each in in_use(document.maps, OF_ADDRESSES):
        match = OF_ADDRESSES.fullmatch(each.name)
        if match and match["subject"] == subject:
            return each
    raise ParseError(f"no eBPF map cilium_{subject} is pinned")


def _version(found: EbpfMap, family: Any) -> int:
    if family not in FAMILIES:
        raise ParseError(f"eBPF map {found.name}: address family {family}")
    return FAMILIES[family]


def _tunnel(data: bytes, flags: int) -> str:
    own = data if flags & TUNNEL_IS_IPV6 else data[:4]
    return address_of(own) if any(own) else ""
