"""How a node sends packets on to pods of another one, without what differs for every node.

A pod network gives each node a range, a neighbour and a tunnel endpoint. Where these are as they
should be for the node that has them, they are alike for all nodes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.node_addresses import node_ips, pod_ranges
from wirecheck.node.rule_selectors import Origin
from wirecheck.paths.named_prefixes import Span
from wirecheck.paths.neighbours import USABLE
from wirecheck.paths.place import THE_NODE, Place
from wirecheck.paths.pod_addresses import Section
from wirecheck.snapshot.netns import Route

ITSELF = "itself"
"""The next hop is the pod."""


@dataclass(frozen=True)
class Onward:
    """The decisions of one node about packets to other nodes' pods."""

    place: Place
    filtered: Iterable[Span]
    """The addresses that its rules name."""

    def shape(self, section: Section) -> Hashable:
        """Equal for sections to which packets are sent alike."""
        where, _ = section.pods[0]
        node = self.place.machine.seen.cluster.nodes.get(section.node)
        own = frozenset(node_ips(node)) if node else frozenset()
        way = self._way(where, own, section.node)
        outer = tuple(self._outer(each) for each in sorted(own, key=str))
        return section.family, section.inside, way, outer

    def _way(self, where: IPAddress, own: frozenset[IPAddress], node: str) -> Hashable:
        """The route, and the next hop as seen from the node that has the address."""
        route, rule = self.place.routing.decision(where, origin=self._origin)
        if route is None:
            return ("no route",)
        next_hop = address(route.gateway) if route.gateway else where
        hops = tuple(tuple(sorted(each.items())) for each in route.hops)
        role = ITSELF if next_hop == where else self._role(next_hop, own, node)
        neighbour = self._neighbour(route.index, next_hop, own)
        return (*_alike(route), rule.priority if rule else None, hops, role, neighbour)

    def _role(self, next_hop: IPAddress, own: frozenset[IPAddress], node: str) -> str:
        cluster = self.place.machine.seen.cluster
        if next_hop in own or cluster.node_index.only_node_with(next_hop) == node:
            return THE_NODE
        found = cluster.nodes.get(node)
        is_inside = found is not None and any(next_hop in each for each in pod_ranges(found))
        return THE_NODE if is_inside else "another"

    @cached_property
    def _origin(self) -> Origin:
        """A packet of a pod of the node."""
        pods = self.place.machine.seen.pods
        own = (each for pod in pods if pod.has_own_netns for each in pod.addresses)
        return Origin(next(own, None), "")

    def _neighbour(
        self, index: int | None, next_hop: IPAddress, own: frozenset[IPAddress]
    ) -> Hashable:
        """State of the neighbour, and whether its entry leads to the node."""
        device = self.place.links.get(index or 0)
        known = self.place.neighbour(device, next_hop) if device else None
        if device is None or known is None:
            return None
        mac, state = known
        state = "usable" if state in USABLE and state != "PERMANENT" else state
        if device.link.kind != "vxlan":
            return state, bool(mac)
        ends = self._fdb.get((device.index, mac), ())
        return state, tuple(THE_NODE if address(e) in own else e for e in ends)

    @cached_property
    def _fdb(self) -> Mapping[tuple[int, str], tuple[str, ...]]:
        found: dict[tuple[int, str], tuple[str, ...]] = {}
        for each in self.place.netns.record.fdb:
            if each.destination:
                key = (each.index, each.mac)
                found[key] = (*found.get(key, ()), each.destination)
        return found

    def _outer(self, where: IPAddress) -> Hashable:
        """The route to an address of the node itself, for packets of a tunnel."""
        route, _ = self.place.routing.decision(where)
        inside = frozenset(
            each
            for each in self._of_nodes
            if each.family == where.version and each.first <= int(where) <= each.last
        )
        return (_alike(route) if route else None), inside

    @cached_property
    def _of_nodes(self) -> tuple[Span, ...]:
        """The spans that some nodes are in, and others are not."""
        known = [each for each, _ in self.place.machine.seen.cluster.node_index.node_ips]
        numbers = {family: [int(e) for e in known if e.version == family] for family in (4, 6)}
        found = []
        for each in self.filtered:
            inside = sum(each.first <= number <= each.last for number in numbers[each.family])
            if 0 < inside < len(numbers[each.family]):
                found.append(each)
        return tuple(found)


def _alike(route: Route) -> tuple[Hashable, ...]:
    """The route without its destination and next hop."""
    is_default = route.destination == "default"
    return (route.type, route.table, route.index, route.scope, route.onlink, is_default)
