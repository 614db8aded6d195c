"""Tunnel devices of the CNI plugin that cannot talk to those of the other nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wirecheck.api_index.grouping import grouped
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.text import listed

if TYPE_CHECKING:
    from wirecheck.model.node import Node

MOST_NAMES = 3
"""How many of the other nodes are named."""


@dataclass(frozen=True)
class UnlikeTunnel:
    """A VXLAN device with another network identifier or port than other nodes have."""

    ref: Ref
    found: str
    others: str
    """What the largest group of other nodes has, and their names."""


def tunnels_of(node: Node) -> Mapping[str, str]:
    """VNI and UDP port of each VXLAN device that is up and the plugin's own, by name."""
    try:
        devices = node.plugin_devices.in_use
    except (FactMissingError, NotApplicable):
        return {}
    return {
        each.name: f"VNI {each.link.vxlan_id}, UDP port {each.link.vxlan_port}"
        for each in devices
        if each.is_up and each.link.kind == "vxlan" and each.link.vxlan_port is not None
    }


def unlike_tunnels(seen: Mapping[Ref, Mapping[str, str]]) -> Iterator[UnlikeTunnel]:
    """Yield the devices that differ from those of the same name on most other nodes.

    Without a majority nobody can tell which ones are right: then each is yielded.
    """
    for device in sorted({name for tunnels in seen.values() for name in tunnels}):
        having = [(tunnels[device], ref) for ref, tunnels in seen.items() if device in tunnels]
        groups = sorted(grouped(having).items(), key=lambda each: (-len(each[1]), each[0]))
        has_majority = 2 * len(groups[0][1]) > len(having)
        for found, refs in groups[1:] if has_majority else groups:
            value, nodes = groups[1] if found == groups[0][0] else groups[0]
            others = f"{value}, as on {listed(sorted(e.name for e in nodes), MOST_NAMES)}"
            for ref in sorted(refs):
                yield UnlikeTunnel(replace(ref, part=device), found, others)
