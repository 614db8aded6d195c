"""How a node sends packets on to pods of another one, without what differs for every node.

A pod network gives each node a range, a neighbour and a tunnel endpoint. Where these are as they
should be for the node that has them, they are alike for all nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, address
from wirecheck.node.rule_selectors import Origin
from wirecheck.paths.named_prefixes import Span
from wirecheck.paths.neighbours import lasting_state
from wirecheck.paths.place import THE_NODE, Place
from wirecheck.paths.pod_addresses import PeerNode, Section
from wirecheck.snapshot.netns import Route

ITSELF, ANOTHER = "itself", "another"
"""The next hop is the pod, or an address of neither the pod nor its node."""


@dataclass(frozen=True)
class Onward:
    """The decisions of one node about packets to other nodes' pods."""

    place: Place
    filtered: Collection[Span]
    """The addresses that its rules name."""

    def shape(self, section: Section) -> Hashable:
        """Equal for sections to which packets are sent alike."""
        where, peer = section.pods[0][0], section.peer
        outer = tuple(map(self._outer, peer.addresses))
        return section.family, section.inside, self._way(where, peer), outer

    def _way(self, where: IPAddress, peer: PeerNode) -> Hashable:
        """The route, and the next hop as seen from the node that has the address."""
        route, rule = self.place.routing.decision(where, origin=self._origin)
        if route is None:
            return None
        hops = str(route.hops) if route.hops else ""
        next_hop = route.gateway or str(where)
        role = _role(next_hop, peer) if route.gateway else ITSELF
        neighbour = self._neighbour(route.index or 0, next_hop, peer)
        return _alike(route), rule.priority if rule else None, hops, role, neighbour

    @cached_property
    def _origin(self) -> Origin:
        """A packet of a pod of the node."""
        pods = self.place.machine.seen.pods
        own = (each for pod in pods if pod.has_own_netns for each in pod.addresses)
        return Origin(next(own, None), "")

    def _neighbour(self, index: int, next_hop: str, peer: PeerNode) -> Hashable:
        """State of the neighbour, and whether its entry leads to the node."""
        known = self._neighbours.get((index, next_hop))
        if known is None:
            return None
        mac, state = known
        if index not in self._tunnels:
            return state, bool(mac)
        ends = self._fdb.get((index, mac), ())
        return state, tuple(THE_NODE if each in peer.texts else each for each in ends)

    @cached_property
    def _tunnels(self) -> frozenset[int]:
        links = self.place.netns.record.links
        return frozenset(each.index for each in links if each.kind == "vxlan")

    @cached_property
    def _neighbours(self) -> Mapping[tuple[int, str], tuple[str, str]]:
        """By device and address; whether a learned entry is fresh does not matter."""
        return {
            (each.index, each.address): (each.mac, lasting_state(each.state))
            for each in self.place.netns.record.neighbours
        }

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
        inside: tuple[Span, ...] = ()
        if self._of_nodes:
            number, family = int(where), where.version
            spans = (each for each in self._of_nodes if each.family == family)
            inside = tuple(each for each in spans if each.first <= number <= each.last)
        return (_alike(route) if route else None), inside

    @cached_property
    def _of_nodes(self) -> tuple[Span, ...]:
        """The spans that some nodes are in, and others are not."""
        known = [each for each, _ in self.place.machine.seen.cluster.node_index.node_ips]
        numbers = {family: [int(e) for e in known if e.version == family] for family in (4, 6)}
        found = []
        for each in sorted(self.filtered):
            inside = sum(each.first <= number <= each.last for number in numbers[each.family])
            if 0 < inside < len(numbers[each.family]):
                found.append(each)
        return tuple(found)


def _alike(route: Route) -> Hashable:
    """The route without its destination and next hop."""
    is_default = route.destination == "default"
    return (route.type, route.table, route.index, route.scope, route.onlink, is_default)


def _role(next_hop: str, peer: PeerNode) -> str:
    if next_hop in peer.texts:
        return THE_NODE
    where = address(next_hop)
    return THE_NODE if any(where in each for each in peer.ranges) else ANOTHER
