"""Replaces the addresses in keys and values of eBPF maps.

A map of unknown layout may have addresses anywhere, so its entries are left out. It is an error
with them as well.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from msgspec.structs import replace

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
"""The maps whose entries are collected, by name, key size and value size."""

OTHER_BITS = 32
"""A prefix length counts the bits of the id before the address."""


def redacted_map(addresses: AddressMap, byte_order: str, found: EbpfMap) -> EbpfMap:
    """The map with other addresses."""
    key = (found.name, found.key_size, found.value_size)
    if not found.entries or (key in ADDRESSES and ADDRESSES[key] is None):
        return found
    where = ADDRESSES.get(key)
    try:
        data = base64.b64decode(found.entries, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    size = found.key_size + found.value_size
    if where is None or len(data) != found.count * size:
        return replace(found, entries="")
    change = partial(_changed, addresses, where, byte_order, {})
    entries = sorted(map(change, _pieces(data, size)))
    return replace(found, entries=base64.b64encode(b"".join(entries)).decode())


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def _changed(
    addresses: AddressMap, where: Where, byte_order: str, known: dict[bytes, bytes], entry: bytes
) -> bytes:
    end = where.offset + where.size
    old = entry[where.offset : end]
    key = entry[:4] + old if where.is_range else old
    if key not in known:
        length = int.from_bytes(entry[:4], "little" if byte_order == "little" else "big")
        known[key] = _replacement(addresses, old, length - OTHER_BITS if where.is_range else None)
    return entry[: where.offset] + known[key] + entry[end:]


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
