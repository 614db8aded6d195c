"""Makes the parts of views that show Cilium's eBPF maps."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.dataplane.table import Client
from wirecheck.inspect.ebpf_view import MapView, NodeMapsView, PodMapsView
from wirecheck.model.node import Node

UNKNOWN = (FactMissingError, NotApplicable)


def maps_of_node(node: Node) -> NodeMapsView | None:
    """How full the node's maps are, the fullest first; None without Cilium's maps."""
    if not node.cilium.were_read:
        return None
    decided = node.cilium.where_decided(node.cilium.clients)
    try:
        found = sorted(node.ebpf_map_usage.maps, key=lambda each: (-each.use, each.name))
        maps = tuple(
            MapView(name=e.name, entries=e.entries, limit=e.limit, use=round(e.use, 3))
            for e in found
        )
        unread = [why for _, why in node.ebpf_map_usage.unread]
    except UNKNOWN as reason:
        return NodeMapsView(decided=decided, unknown=str(reason))
    return NodeMapsView(decided=decided, unknown="; ".join(unread), maps=maps)


def maps_of_pod(node: Node, pod: Pod) -> PodMapsView | None:
    """The entries of the pod's own node with its addresses; None without Cilium's maps."""
    if not node.cilium.were_read:
        return None
    client = Client.NODE if pod.on_host_network else Client.POD
    decided = node.cilium.where_decided({client}.intersection(node.cilium.clients))
    try:
        entries = () if pod.on_host_network else tuple(_entries(node, pod))
    except UNKNOWN as reason:
        return PodMapsView(decided=decided, unknown=str(reason))
    return PodMapsView(decided=decided, entries=entries)


def _entries(node: Node, pod: Pod) -> Iterator[str]:
    for address in map(str, sorted(pod.addresses, key=int)):
        yield from node.cilium_addresses.lines_of(address)
    enforcer = node.policy_enforcement.maps
    if enforcer.is_in_use:
        lines = (line for own in pod.addresses for line in enforcer.maps.lines_of(own))
        yield from dict.fromkeys(lines)
