"""Neighbour entries between a node and its pods that name a MAC which the other side does not have.

A frame for another MAC is dropped on arrival (PACKET_OTHERHOST), and nothing counts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from wirecheck.addresses import IPAddress, address
from wirecheck.catalogue.findings import Ref
from wirecheck.network.plugin import Attachment
from wirecheck.node.netns import Interface
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.seen import NodeSeen
from wirecheck.node.veth import Veth
from wirecheck.snapshot.netns import Neighbour

IN_USE = frozenset({"PERMANENT", "REACHABLE"})
"""States in which the kernel sends without asking first, for longer than a few seconds."""


@dataclass(frozen=True)
class NeighbourInUse:
    """An entry, and the interface that has its address or answers for it."""

    ref: Ref
    entry: Neighbour
    device: Interface
    """The interface that uses the entry."""
    owner: Interface
    is_in_pod: bool

    @property
    def is_right(self) -> bool:
        return self.entry.mac == self.owner.link.mac

    @property
    def expected(self) -> str:
        return f"MAC {self.owner.link.mac}, that of {self.owner.name}"

    @property
    def found(self) -> str:
        return f"MAC {self.entry.mac}, {self.entry.state}"


@dataclass(frozen=True)
class PodNeighbours:
    """The neighbour entries of one node for its pods, and of these for the node."""

    seen: NodeSeen
    namespaces: PodNamespaces

    @property
    def wrong(self) -> Iterator[NeighbourInUse]:
        """The entries in use with a wrong MAC, where pairs join pods to the node's own stack.

        If no entry of one side is right, the plugin has its own way, such as a program that
        rewrites MACs.
        """
        known = [each for each in self._in_use if each.entry.mac and each.owner.link.mac]
        usual = {each.is_in_pod for each in known if each.is_right}
        return (each for each in known if each.is_in_pod in usual and not each.is_right)

    @property
    def _in_use(self) -> Iterator[NeighbourInUse]:
        if self.seen.cni.attachment not in (Attachment.BRIDGE, Attachment.HOST_ROUTE):
            return
        for pair in self.namespaces.veths:
            near = pair.near
            if near is not None and pair.inner.is_up and near.is_up:
                yield from self._of_node(pair, near)
                yield from self._of_pod(pair, near)

    @cached_property
    def _of_host(self) -> Mapping[tuple[int, IPAddress], Neighbour]:
        entries = (each for each in self.seen.host.record.neighbours if each.state in IN_USE)
        return {(each.index, address(each.address)): each for each in entries}

    def _of_node(self, pair: Veth, near: Interface) -> Iterator[NeighbourInUse]:
        """Entries of the node for the pod's addresses."""
        for own in sorted(pair.inner.addresses, key=str):
            if entry := self._of_host.get((near.index, own)):
                ref = replace(pair.ref, part=f"{own} on {near.name}")
                yield NeighbourInUse(ref, entry, near, pair.inner, is_in_pod=False)

    def _of_pod(self, pair: Veth, near: Interface) -> Iterator[NeighbourInUse]:
        """Entries of the pod for addresses of the node's side.

        The other end of a routed pair also answers for addresses that no interface has.
        """
        for each in pair.netns.record.neighbours:
            is_near = pair.is_routed or address(each.address) in near.addresses
            if each.index == pair.inner.index and each.state in IN_USE and is_near:
                ref = replace(pair.ref, part=f"{each.address} on {pair.inner.name}")
                yield NeighbourInUse(ref, each, pair.inner, near, is_in_pod=True)
