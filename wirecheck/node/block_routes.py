"""A node's routes to the pods of other nodes, where the plugin assigns blocks of its own pools.

Such a plugin adds a route for each block, and for each pod with an address of another node's block.
Both are evaluated by where they lead: through the tunnel or the address of which node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.node_ref import node_ref
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.pod_blocks import LENGTHS, BlockKey, PodBlock, key_of
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.network.plugins.calico import VXLAN_DEVICES
from wirecheck.node.calico_overlay import is_in_force
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.netns import Route


@dataclass(frozen=True)
class MisroutedPods:
    """Pods of one other node to which one route of the node does not lead."""

    ref: Ref
    expected: str
    found: str
    peer: Ref


@dataclass(frozen=True)
class BlockRoutes:
    """The routes of one node to pods, each compared with the node that the API shows."""

    seen: NodeSeen
    routes: NodeRoutes

    @property
    def wrong(self) -> Iterator[MisroutedPods]:
        """Routes that lead to another node, and pods of nodes with a tunnel without a route.

        Raises NotApplicable where the plugin has no tunnel to any node with pods: the network
        between the nodes may know the blocks.
        """
        found: dict[tuple[str, str], tuple[IPAddress, Pod, Route | None]] = {}
        targets = self._targets if is_in_force(self.seen) and self._tunnels else ()
        routes = [(self.routes.routing.route_to(where), where, pod) for where, pod in targets]
        if not any(self._is_known(route, pod.node_name) for route, _, pod in routes):
            raise NotApplicable(f"{self.seen.cni} does not assign addresses from spec.podCIDRs")
        for route, where, pod in routes:
            if self._is_wrong(route, pod.node_name):
                key = (pod.node_name, route.destination if route else "")
                found.setdefault(key, (where, pod, route))
        for (name, _), (where, pod, route) in found.items():
            yield self._mismatch(name, where, pod, route)

    def _mismatch(
        self, name: str, where: IPAddress, pod: Pod, route: Route | None
    ) -> MisroutedPods:
        leads = self._node_behind(route) if route else ""
        other = f", which is node {leads}" if leads else ""
        return MisroutedPods(
            self.seen.part(f"route to pods of {name}"),
            f"{where} (Pod {pod.namespace}/{pod.name}) through the tunnel or an address of {name}",
            f"{self.routes.routing.text_of(route)}{other}",
            node_ref(self.seen.cluster.nodes[name]),
        )

    @property
    def _targets(self) -> Iterator[tuple[IPAddress, Pod]]:
        """Pods of other nodes: one for each block that one route covers."""
        for block in self.seen.cluster.pod_blocks:
            for name, pods in block.by_node.items():
                if name != self.seen.name and name in self.seen.cluster.nodes:
                    yield from pods[:1] if self._is_of_one_route(block) else pods

    def _is_of_one_route(self, block: PodBlock) -> bool:
        return len(block.by_node) == 1 and block.key not in self._divided

    @cached_property
    def _divided(self) -> frozenset[BlockKey]:
        """The blocks within which routes differ."""
        return frozenset(
            key_of(family, start)
            for (family, length, start), _ in self.routes.routing.prefixes
            if length > LENGTHS[family]
        )

    def _is_known(self, route: Route | None, node: str) -> bool:
        """Whether it is known where the packets to pods of a node have to go."""
        if route is not None and self._node_behind(route):
            return True
        return any(self._has_tunnel_to(node, family) for family in self._tunnels.values())

    def _is_wrong(self, route: Route | None, node: str) -> bool:
        if route is None:
            return True
        if route.type != "unicast" or route.hops:
            # routes.no_blackholes reports what is refused.
            return False
        if leads := self._node_behind(route):
            return leads != node
        return route.destination == "default" and self._has_tunnel_to(node, route.family)

    def _node_behind(self, route: Route) -> str:
        """The node that a route leads to; empty if its gateway belongs to no known node."""
        return self._by_gateway.get(route.gateway, "") if route.gateway else ""

    @cached_property
    def _by_gateway(self) -> Mapping[str, str]:
        """The names of the other nodes by their addresses and those of their tunnels."""
        found: dict[str, str] = {}
        index = self.seen.cluster.node_index
        for name, known in index.announced_by.items():
            found.update((str(each), name) for each in known if index.only_node_with(each))
        for each in self.seen.host.record.neighbours:
            family = self._tunnels.get(each.index)
            vtep = index.calico[family].by_mac.get(each.mac) if family else None
            if vtep:
                found.setdefault(str(address(each.address)), vtep.name)
        return found

    @cached_property
    def _tunnels(self) -> Mapping[int, int]:
        """The families of the tunnel devices, by their indexes."""
        families = {name: family for family, name in VXLAN_DEVICES.items()}
        interfaces = self.seen.host.interfaces
        return {each.index: families[each.name] for each in interfaces if each.name in families}

    def _has_tunnel_to(self, node: str, family: int) -> bool:
        """Whether the node has an entry for the other node's tunnel, or that node announces one."""
        vtep = self.seen.cluster.node_index.calico[family].by_name.get(node)
        if vtep is None or family not in self._tunnels.values():
            return False
        known = (each for each in self.seen.host.record.fdb if each.index in self._tunnels)
        return vtep.tunnel is not None or any(each.mac == vtep.mac for each in known)
