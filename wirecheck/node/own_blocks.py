"""The address blocks of Calico that belong to one node, and its blackhole routes for them.

felix adds such a route for each block of the node, so that packets to an unassigned address end
there. It is less specific than the routes to pods.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPNetwork
from wirecheck.api_index.calico_blocks import AddressBlock
from wirecheck.api_index.node_ref import node_ref
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.node.calico_overlay import is_in_force
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.routing import MAIN, destination_of
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.netns import Route

BLACKHOLE = "blackhole"


@dataclass(frozen=True)
class BlockMismatch:
    """A block of the node without a blackhole route, or one of another node that has one."""

    ref: Ref
    expected: str
    found: str
    concerns: tuple[Ref, ...] = ()


@dataclass(frozen=True)
class OwnBlocks:
    """The blackhole routes of one node."""

    seen: NodeSeen
    routes: NodeRoutes

    @property
    def mismatches(self) -> Iterator[BlockMismatch]:
        """Blackhole routes that are missing or for another node's block.

        Raises NotApplicable where Calico does not join the nodes by VXLAN, or its blocks were not
        read.
        """
        if not is_in_force(self.seen):
            raise NotApplicable("Calico does not join this node to the others by VXLAN")
        blocks = self.seen.cluster.address_blocks
        if not blocks.blocks:
            raise NotApplicable("the IPAMBlocks of Calico were not read")
        for each in blocks.blocks:
            if each.node == self.seen.name:
                yield from self._of_own(each)
            else:
                yield from self._of_other(each)

    def _of_own(self, block: AddressBlock) -> Iterator[BlockMismatch]:
        # A block of one address has a route to its pod, or none.
        is_single = block.range.prefixlen == block.range.max_prefixlen
        route = self._routes.get(block.range)
        if is_single or (route is not None and route.type == BLACKHOLE):
            return
        yield BlockMismatch(
            self.seen.part(f"block {block.range}"),
            f"a blackhole route for {block.range}, which IPAMBlock {block.name} gives to this node",
            self.routes.routing.text_of(route) if route else "no route for the block",
        )

    def _of_other(self, block: AddressBlock) -> Iterator[BlockMismatch]:
        """routes.no_blackholes reports a block with pods, because they are cut off already."""
        route = self._routes.get(block.range)
        if route is None or route.type != BLACKHOLE or self._has_pods(block.range):
            return
        other = self.seen.cluster.nodes.get(block.node)
        yield BlockMismatch(
            self.seen.part(f"block {block.range}"),
            f"a route to node {block.node}, to which IPAMBlock {block.name} gives {block.range}",
            f"{BLACKHOLE} {block.range}: pods that get an address of it will not be reached",
            (node_ref(other),) if other else (),
        )

    def _has_pods(self, range_: IPNetwork) -> bool:
        return any(True for _ in self.seen.cluster.pod_index.within(range_))

    @cached_property
    def _routes(self) -> Mapping[IPNetwork, Route]:
        """The routes of table main, by exactly their destination."""
        return {
            destination_of(each): each
            for each in self.seen.host.record.routes
            if each.table == MAIN and each.destination != "default"
        }
