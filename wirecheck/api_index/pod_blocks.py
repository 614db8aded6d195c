"""Pods' addresses in small blocks, for plugins that assign blocks of addresses to nodes.

Nearly always all pods of a block are on one node, and one route covers them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wirecheck.addresses import IPAddress
from wirecheck.api_index.pod import Pod

LENGTHS = {4: 26, 6: 122}
"""The usual length of Calico's blocks, by family. Other lengths only cost more lookups."""

BlockKey = tuple[int, int]
"""Family, and the bits of the prefix."""


@dataclass(frozen=True, slots=True)
class PodBlock:
    """The pods with addresses in one block, by the names of their nodes."""

    key: BlockKey
    by_node: dict[str, list[tuple[IPAddress, Pod]]] = field(default_factory=dict)


def key_of(family: int, start: int) -> BlockKey:
    """The block with an address, which is given as a number."""
    bits = 32 if family == 4 else 128
    return family, start >> bits - LENGTHS[family]


def pod_blocks_of(by_address: Mapping[IPAddress, Iterable[Pod]]) -> tuple[PodBlock, ...]:
    """Every block with a pod. An address that several pods have belongs to no block."""
    found: dict[BlockKey, PodBlock] = {}
    for where, pods in by_address.items():
        first, *others = pods
        if not others and first.node_name:
            key = key_of(where.version, int(where))
            block = found.setdefault(key, PodBlock(key))
            block.by_node.setdefault(first.node_name, []).append((where, first))
    return tuple(found.values())
