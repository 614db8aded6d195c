"""Replaces the addresses in keys and values of eBPF maps.

A map of unknown layout may have addresses anywhere, so its entries are left out. It is an error
with them as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from wirecheck.addresses import IPAddress, IPNetwork
from wirecheck.snapshot.ebpf_maps import EbpfMap
from wirecheck.snapshot.redact_addresses import AddressMap


class Where(NamedTuple):
    """Where an entry, the key followed by the value, has its address."""

    offset: int
    size: int
    is_range: bool = False
    """Whether the key begins with the length of a prefix: 32 bits and those of the address."""


ADDRESSES: Mapping[tuple[str, int, int], Where | None] = {
    ("cilium_lb4_services_v2", 12, 12): Where(0, 4),
    ("cilium_lb6_services_v2", 24, 12): Where(0, 16),
    ("cilium_lb4_backends_v3", 4, 12): Where(4, 4),
    ("cilium_lb6_backends_v3", 4, 24): Where(4, 16),
    ("cilium_lb4_reverse_nat", 2, 6): Where(2, 4),
    ("cilium_lb6_reverse_nat", 2, 18): Where(2, 16),
    ("cilium_lb4_source_range", 12, 1): Where(8, 4, is_range=True),
    ("cilium_lb6_source_range", 24, 1): Where(8, 16, is_range=True),
    ("cilium_lb_affinity_match", 8, 1): None,
}
"""The load balancer's maps, by name, key size and value size; None for one without addresses."""
POLICIES = (re.compile(r"cilium_policy_v3_\d{1,5}", re.ASCII), 12, 12)
"""The maps of policies, which have identities and ports and no addresses."""

Change = Callable[[bytes, int | None], bytes]
"""Replaces the bytes of an address, or those of a range whose prefix has a length."""


def _in_ipcache(change: Change, byte_order: str, entry: bytes) -> bytes | None:
    """The address by its family, which stands before it, and the tunnel endpoint by a flag."""
    size, of_tunnel = SIZES.get(entry[7]), SIZES[2] if entry[47] & TUNNEL_IS_IPV6 else SIZES[1]
    if size is None:
        return None
    length = int.from_bytes(entry[:4], "little" if byte_order == "little" else "big") - OTHER_BITS
    address = change(entry[8 : 8 + size], length).ljust(16, b"\0")
    tunnel = change(entry[28 : 28 + of_tunnel], None).ljust(16, b"\0")
    return entry[:8] + address + entry[24:28] + tunnel + entry[44:]


def _in_endpoints(change: Change, _: str, entry: bytes) -> bytes | None:
    """The address by its family, which stands behind it. MACs are left out."""
    size = SIZES.get(entry[16])
    if size is None:
        return None
    return change(entry[:size], None).ljust(16, b"\0") + entry[16:36] + bytes(16) + entry[52:]


SIZES = {1: 4, 2: 16}
"""The bytes of an address, by the numbers that the maps have for families."""
TUNNEL_IS_IPV6 = 1 << 2
OF_BOTH_FAMILIES: Mapping[tuple[str, int, int], Callable[[Change, str, bytes], bytes | None]] = {
    ("cilium_ipcache_v2", 24, 24): _in_ipcache,
    ("cilium_lxc", 20, 48): _in_endpoints,
}

OTHER_BITS = 32
"""A prefix length counts the bits of the id before the address."""


def redacted_map(addresses: AddressMap, byte_order: str, found: EbpfMap) -> EbpfMap:
    """The map with other addresses."""
    key = (found.name, found.key_size, found.value_size)
    is_empty = not found.entries and not found.columns
    has_no_addresses = key in ADDRESSES and ADDRESSES[key] is None
    if is_empty or has_no_addresses or _is_of_policies(key):
        return found
    change = _change_of(addresses, byte_order, key)
    if change is None:
        return found.without_data
    try:
        entries = [change(each) for each in _pieces(found.data, found.key_size + found.value_size)]
    except ValueError:
        return found.without_data
    known = sorted(each for each in entries if each is not None)
    return found.with_data(b"".join(known)) if len(known) == found.count else found.without_data


def _is_of_policies(key: tuple[str, int, int]) -> bool:
    name, *sizes = POLICIES
    return bool(name.fullmatch(key[0])) and list(key[1:]) == sizes


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def _change_of(
    addresses: AddressMap, byte_order: str, key: tuple[str, int, int]
) -> Callable[[bytes], bytes | None] | None:
    """What replaces an entry of the map; None for an unknown layout."""
    change = lru_cache(maxsize=200_000)(partial(_replacement, addresses))
    if own := OF_BOTH_FAMILIES.get(key):
        return partial(own, change, byte_order)
    where = ADDRESSES.get(key)
    return partial(_changed, change, where, byte_order) if where else None


def _changed(change: Change, where: Where, byte_order: str, entry: bytes) -> bytes:
    end = where.offset + where.size
    length = int.from_bytes(entry[:4], "little" if byte_order == "little" else "big")
    new = change(entry[where.offset : end], length - OTHER_BITS if where.is_range else None)
    return entry[: where.offset] + new + entry[end:]


def _replacement(addresses: AddressMap, old: bytes, length: int | None) -> bytes:
    bits = len(old) * 8
    number = int.from_bytes(old, "big")
    if length is None or not 0 <= length <= bits:
        own: IPAddress = IPv4Address(number) if bits == 32 else IPv6Address(number)
        return addresses.address(own).packed
    start = number >> (bits - length) << (bits - length)
    kind = IPv4Network if bits == 32 else IPv6Network
    range_: IPNetwork = kind((start, length))
    return addresses.network(range_).network_address.packed
