"""Cluster IPs of Services in blocks of neighbouring addresses.

Nearly always one route covers a whole block. Without blocks, a node with 10,000 Services would
take 10,000 route lookups with the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wirecheck.addresses import IPAddress, IPNetwork, addresses, network
from wirecheck.api_index.service import cluster_ips, service_key
from wirecheck.snapshot.objects.service import ServiceObject

LENGTHS = {4: 24, 6: 112}
"""Prefix length of a block, by IP version."""

Block = tuple[int, int]
"""IP version, and the bits of the prefix."""


@dataclass(frozen=True, slots=True)
class ServiceBlock:
    """The cluster IPs in one block."""

    key: Block
    range: IPNetwork
    members: Mapping[str, IPAddress]
    """By `namespace/name address`."""


def block_of(address: IPAddress) -> Block:
    """The block of an address."""
    family = address.version
    return family, int(address) >> (address.max_prefixlen - LENGTHS[family])


def blocks_of(services: Iterable[ServiceObject]) -> tuple[ServiceBlock, ...]:
    """Every block with a cluster IP, in the order of the Services."""
    found: dict[Block, dict[str, IPAddress]] = {}
    for service in services:
        name = "/".join(service_key(service))
        for each in sorted(addresses(cluster_ips(service)), key=str):
            found.setdefault(block_of(each), {})[f"{name} {each}"] = each
    return tuple(
        ServiceBlock(key, _range(next(iter(members.values()))), members)
        for key, members in found.items()
    )


def _range(member: IPAddress) -> IPNetwork:
    return network(f"{member}/{LENGTHS[member.version]}")
