"""What must be unique to one node: its pod ranges, identities, addresses and MACs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wirecheck.addresses import IPNetwork
from wirecheck.api_index.node_addresses import internal_addresses, pod_ranges
from wirecheck.api_index.node_kinds import kind_of
from wirecheck.api_index.node_ref import node_ref
from wirecheck.api_index.vteps import readable_vteps
from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.objects.node import NodeObject

SYSTEM_UUID = "system UUID"
PLACEHOLDERS = frozenset(
    {"03000200-0400-0500-0006-000700080009", "12345678-1234-5678-90ab-cddeefaabbcc"}
)
"""UUIDs of boards whose manufacturer set none; others are all zeros or all ones."""


@dataclass(frozen=True)
class Shared:
    """A value that several nodes have, and that must be unique."""

    ref: Ref
    what: str
    others: tuple[Ref, ...]

    @property
    def may_be_a_hardware_fault(self) -> bool:
        """Whether the machines may have been manufactured with the same value."""
        return self.what.startswith(SYSTEM_UUID)

    @property
    def found(self) -> str:
        """`also on wc-w1, wc-w2`."""
        return f"also on {', '.join(each.name for each in self.others)}"


def overlapping_ranges(nodes: Mapping[str, NodeObject]) -> Iterator[Shared]:
    """Yield nodes whose pod ranges are equal or overlap."""
    ranges: list[tuple[tuple[int, int, int], IPNetwork, NodeObject]] = []
    for node in nodes.values():
        for each in pod_ranges(node):
            order = (each.version, int(each.network_address), each.prefixlen)
            ranges.append((order, each, node))
    # Ranges nest or are disjoint: sorted, a range directly precedes those that it contains.
    ranges.sort(key=lambda each: (each[0], each[2].metadata.name))
    holder: tuple[IPNetwork, NodeObject] | None = None
    for _, range_, node in ranges:
        if holder is None or range_.version != holder[0].version or not holder[0].overlaps(range_):
            holder = range_, node
        elif node is not holder[1]:
            yield Shared(node_ref(node), str(range_), (node_ref(holder[1]),))


def shared_identities(
    nodes: Mapping[str, NodeObject], *, joined_by_flannel: bool
) -> Iterator[Shared]:
    """Yield machine IDs, system UUIDs, addresses and overlay MACs that several nodes have.

    A node without a machine has no identity: kwok gives all its nodes one address. flannel's MACs
    and endpoints count only as long as it joins the nodes.
    """
    nodes = {name: node for name, node in nodes.items() if kind_of(node).has_machine}
    holders: dict[str, dict[str, NodeObject]] = defaultdict(dict)
    for name, node in nodes.items():
        tunnel = _of_tunnel(node) if joined_by_flannel else ()
        for identity in (*_identities(node), *tunnel):
            holders[identity][name] = node
    for identity, found in sorted(holders.items()):
        is_on_all_nodes = identity.startswith(SYSTEM_UUID) and len(found) == len(nodes)
        if len(found) > 1 and not is_on_all_nodes:
            first, *others = (node_ref(node) for _, node in sorted(found.items()))
            yield Shared(first, identity, tuple(others))


def _identities(node: NodeObject) -> Iterator[str]:
    if node.status.node_info.machine_id:
        yield f"machine-id {node.status.node_info.machine_id}"
    uuid = node.status.node_info.system_uuid.lower()
    # The kubelet reports the machine ID where the hardware has no UUID.
    is_hardware_uuid = uuid.replace("-", "") != node.status.node_info.machine_id
    if uuid and is_hardware_uuid and uuid not in PLACEHOLDERS and len(set(uuid)) > 2:
        yield f"{SYSTEM_UUID} {uuid}"
    for each in internal_addresses(node):
        # A virtual kubelet may announce 127.0.0.1.
        if not (each.is_loopback or each.is_unspecified):
            yield f"address {each}"


def _of_tunnel(node: NodeObject) -> Iterator[str]:
    for vtep in readable_vteps(node) or ():
        yield f"VXLAN MAC {vtep.mac}"
        yield f"VXLAN endpoint {vtep.endpoint}"
