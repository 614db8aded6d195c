"""Routes of a netns: which of them a packet takes, and those towards the pods of other nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from wirecheck.addresses import IPAddress, IPNetwork, address, addresses, network
from wirecheck.findings import NotApplicable, Ref
from wirecheck.model.netns import Interface, Netns
from wirecheck.model.pod import Pod
from wirecheck.model.pod_ranges import BACKEND, PodRange
from wirecheck.model.service_blocks import LENGTHS, Block, ServiceBlock
from wirecheck.snapshot.api_objects import NodeObject
from wirecheck.snapshot.node_document import Route, Rule

if TYPE_CHECKING:
    from wirecheck.model.node import Node

MAIN = 254
KERNEL = 2
"""Protocol of the routes that the kernel makes for the network of an address."""

EVERYTHING = {4: network("0.0.0.0/0"), 6: network("::/0")}
TUNNELS = frozenset({"vxlan", "geneve", "ipip", "sit", "ip6tnl", "gre", "wireguard", "tun"})
ROUTING_CNIS = frozenset({"flannel", "kindnet", "kube-router"})
"""Plugins that give each node a route to every other node's range."""

CLOUD_BACKENDS = frozenset({"alloc", "aws-vpc", "gce", "ali-vpc", "tencent-vpc"})
"""Backends of flannel that program the cloud's routers instead of the nodes."""

Prefix = tuple[int, int, int]
"""Family, length, network address."""
Searched = tuple[Mapping[Prefix, Route], Sequence[int]]
"""A table, and the lengths of prefixes in it, the longest first."""


@dataclass(frozen=True)
class Routing:
    """The routes of one netns, by the rules that hold for every packet.

    Rules that ask for a source, a mark or an interface concern some packets only, which of
    them is not known here: they are left out. The local table is not in the snapshot.
    """

    netns: Netns

    @cached_property
    def prefixes(self) -> Sequence[tuple[Prefix, Route]]:
        """Every route with the prefix that it is for."""
        return [(_prefix(destination_of(route)), route) for route in self.netns.record.routes]

    @cached_property
    def _tables(self) -> Mapping[int, Mapping[Prefix, Route]]:
        tables: dict[int, dict[Prefix, Route]] = {}
        for key, route in self.prefixes:
            table = tables.setdefault(route.table, {})
            known = table.get(key)
            if known is None or route.metric < known.metric:
                table[key] = route
        return tables

    @cached_property
    def _lengths(self) -> Mapping[tuple[int, int], tuple[int, ...]]:
        """Lengths of prefixes by (table, family), the longest first."""
        found: dict[tuple[int, int], set[int]] = {}
        for table, routes in self._tables.items():
            for family, length, _ in routes:
                found.setdefault((table, family), set()).add(length)
        return {key: tuple(sorted(lengths, reverse=True)) for key, lengths in found.items()}

    @cached_property
    def _rules(self) -> Mapping[int, Sequence[Rule]]:
        """By family, in the order in which the kernel asks them."""
        found: dict[int, list[Rule]] = {}
        for rule in sorted(self.netns.record.rules, key=lambda each: each.priority):
            found.setdefault(rule.family, []).append(rule)
        return found

    def route_to(self, target: IPAddress, longest: int = 128) -> Route | None:
        """The route that packets to `target` take; None where there is none at all.

        Prefixes beyond the `longest` one are left out, to ask for a whole range's route.
        """
        family, number, bits = target.version, int(target), target.max_prefixlen
        for table, lengths in self._searched(target):
            for length in lengths:
                if length > longest:
                    continue
                route = table.get((family, length, number >> (bits - length) << (bits - length)))
                if route is not None and route.type != "throw":
                    return route
                if route is not None:
                    break  # `throw` ends the search in this table alone.
        return None

    def route_in(self, table: int, target: IPAddress) -> Route | None:
        """The route to `target` that one table has."""
        family, number, bits = target.version, int(target), target.max_prefixlen
        for length in self._lengths.get((table, family), ()):
            key = (family, length, number >> (bits - length) << (bits - length))
            if route := self._tables[table].get(key):
                return None if route.type == "throw" else route
        return None

    def _searched(self, target: IPAddress) -> Sequence[Searched]:
        """The tables that packets to `target` are looked up in, and the lengths of prefixes."""
        family = target.version
        if family not in self._families_with_choice:
            return self._searched_by_all[family]
        return self._in_order(r for r in self._rules[family] if _holds_for_all(r, target))

    @cached_property
    def _families_with_choice(self) -> frozenset[int]:
        """Those in which a rule asks for the destination."""
        return frozenset(each.family for each in self.netns.record.rules if each.destination)

    @cached_property
    def _searched_by_all(self) -> Mapping[int, Sequence[Searched]]:
        return {
            family: self._in_order(r for r in self._rules.get(family, ()) if _is_for_any_source(r))
            if family in self._rules
            else [(self._tables.get(MAIN, {}), self._lengths.get((MAIN, family), ()))]
            for family in EVERYTHING
        }

    def _in_order(self, rules: Iterable[Rule]) -> Sequence[Searched]:
        return [
            (self._tables.get(rule.table, {}), self._lengths.get((rule.table, rule.family), ()))
            for rule in rules
            if rule.action == "lookup"
        ]

    def is_uniform(self, block: Block) -> bool:
        """Whether all packets to a block take one route."""
        return block not in self._divided

    @cached_property
    def _divided(self) -> frozenset[Block]:
        """Blocks within which routes, or the rules that are asked first, differ."""
        asked = [network(each.destination) for each in self.netns.record.rules if each.destination]
        prefixes = [*map(_prefix, asked), *(prefix for prefix, _ in self.prefixes)]
        return frozenset(
            (family, start >> (EVERYTHING[family].max_prefixlen - LENGTHS[family]))
            for family, length, start in prefixes
            if length > LENGTHS[family]
        )

    def device_of(self, route: Route) -> Interface | None:
        """The interface by which it leaves; None for lo, several hops, and routes without."""
        return self.netns.by_index.get(route.index or 0)

    def told(self, route: Route | None) -> str:
        """`10.244.1.0/24 via 10.244.1.0 dev flannel.1`, as ip prints it."""
        if route is None:
            return "no route at all"
        device = self.device_of(route)
        words = ["" if route.type == "unicast" else route.type, route.destination]
        words += [f"via {route.gateway}" if route.gateway else ""]
        words += [f"dev {device.name}" if device else "", f"via {_hops(route)}" * bool(route.hops)]
        return " ".join(filter(None, words))


def _hops(route: Route) -> str:
    return " and ".join(hop.get("gateway", "a device") for hop in route.hops)


def _is_for_any_source(rule: Rule) -> bool:
    return not (rule.source or rule.iif or rule.oif or rule.mark)


def _holds_for_all(rule: Rule, target: IPAddress) -> bool:
    is_meant = not rule.destination or target in network(rule.destination)
    return is_meant and _is_for_any_source(rule)


def destination_of(route: Route) -> IPNetwork:
    """The range that it is for."""
    if route.destination == "default":
        return EVERYTHING[route.family]
    return network(route.destination)


def _prefix(range_: IPNetwork) -> Prefix:
    return range_.version, range_.prefixlen, int(range_.network_address)


@dataclass(frozen=True)
class Way:
    """How one node reaches the pods of another one, in one family."""

    routing: Routing
    to: PodRange

    @property
    def peer(self) -> NodeObject:
        return self.to.node

    @property
    def range(self) -> IPNetwork:
        return self.to.range

    @property
    def name(self) -> str:
        """`route to 10.244.1.0/24`."""
        return f"route to {self.range}"

    @property
    def peer_ref(self) -> Ref:
        return self.to.ref

    @cached_property
    def route(self) -> Route | None:
        """The route that is taken to the range as a whole."""
        return self.routing.route_to(self.to.first, self.to.length)

    @property
    def is_whole(self) -> bool:
        """Whether all of the range takes that route."""
        family, length = self.to.family, self.to.length
        block = (family, self.to.start >> EVERYTHING[family].max_prefixlen - length)
        return length == LENGTHS[family] and self.routing.is_uniform(block)

    @cached_property
    def device(self) -> Interface | None:
        return self.routing.device_of(self.route) if self.route else None

    @property
    def is_specific(self) -> bool:
        """Whether the route is for pods, and none that also leads to the rest of the world."""
        return self.route is not None and self.route.destination != "default"

    @cached_property
    def is_right(self) -> bool:
        """Whether it leads to that node: into a tunnel, or to one of the node's own addresses."""
        route = self.route
        if route is None or not self.is_specific or route.type != "unicast":
            return False
        if self._is_flannels_tunnel(route):
            return True
        gateways = [route.gateway, *(hop.get("gateway", "") for hop in route.hops)]
        if any(each in self.to.nodes_addresses for each in addresses(gateways)):
            return True
        if self.device is None or self.device.link.kind not in TUNNELS:
            return False
        # flannel's gateway on the overlay is the first address of the peer's own range.
        return self.to.backend not in ("host-gw", "vxlan") or (
            self.to.backend == "vxlan"
            and bool(route.gateway)
            and address(route.gateway) in self.range
            and route.onlink
        )

    def _is_flannels_tunnel(self, route: Route) -> bool:
        """As flannel writes it, which is all that most nodes have, and quick to tell."""
        return (
            self.to.backend == "vxlan"
            and route.onlink
            and route.gateway == self.to.first_text
            and self.device is not None
            and self.device.link.kind in TUNNELS
        )

    @property
    def expected(self) -> str:
        where = f"node {self.peer.metadata.name}"
        if self.to.backend == "vxlan":
            return f"{self.range} via {self.range.network_address} on the VXLAN device, to {where}"
        return f"{self.range} via an address of {where}, or into a tunnel"

    @property
    def found(self) -> str:
        return self.routing.told(self.route)


@dataclass(frozen=True)
class NodeRoutes:
    """The routes of one node's own netns."""

    node: Node

    @cached_property
    def routing(self) -> Routing:
        return Routing(self.node.host)

    @cached_property
    def ways(self) -> tuple[Way, ...]:
        """To every other node's ranges. Raises NotApplicable where nodes need no such routes."""
        cluster = self.node.cluster
        if self.node.attaches_pods_elsewhere:
            raise NotApplicable(f"{cluster.cni} forwards to pods without routes of the node")
        if not self.node.gives_addresses_from_its_range:
            raise NotApplicable(f"{cluster.cni} gives out addresses without regard to podCIDRs")
        peers = [each for name, each in cluster.nodes.items() if name != self.node.name]
        if not peers:
            raise NotApplicable("there is no other node")
        backends = {each.metadata.annotations.get(BACKEND) for each in peers}
        has_flannel = backends != {None}
        if backends & CLOUD_BACKENDS:
            raise NotApplicable("flannel leaves routing to the cloud here")
        families = {each.version for each in self.node.pod_ranges}
        ways = tuple(
            Way(self.routing, each)
            for each in cluster.pod_ranges
            # A node that flannel does not know yet is one that is just joining.
            if each.family in families
            and each.node.metadata.name != self.node.name
            and (each.backend is not None or not has_flannel)
        )
        if not (has_flannel or cluster.cni in ROUTING_CNIS or any(w.is_specific for w in ways)):
            raise NotApplicable("pods' ranges are routed outside of the nodes, for all of them")
        return ways

    @property
    def shadowing(self) -> Iterator[tuple[Way, Route]]:
        """Routes to a part of another node's range that leave it in another way."""
        by_prefix = {(way.to.family, way.to.length, way.to.start): way for way in self.ways}
        lengths = {(way.to.family, way.to.length) for way in self.ways}
        for (version, narrower, start), route in self.routing.prefixes:
            bits = EVERYTHING[version].max_prefixlen
            for family, length in lengths:
                if version != family or narrower <= length:
                    continue
                way = by_prefix.get((family, length, start >> (bits - length) << (bits - length)))
                if way and way.route and not _leave_alike(route, way.route):
                    yield way, route

    @property
    def overlaps(self) -> Iterator[tuple[Interface, IPNetwork, str]]:
        """Networks that a device is in and that belong to pods of others or to Services."""
        for route in self.node.host.record.routes:
            device = self.routing.device_of(route)
            if route.protocol != KERNEL or route.gateway or device is None:
                continue
            range_ = destination_of(route)
            family, *ends = range_.version, int(range_[0]), int(range_[-1])
            for way in self.ways:
                to = way.to
                if to.family == family and to.start <= ends[1] and ends[0] <= to.end:
                    yield device, range_, f"{to.range}, the pods of {to.node.metadata.name}"
            name, each = next(self._services_in(range_), ("", None))
            if each:
                yield device, range_, f"{each}, the address of Service {name}"

    def _services_in(self, range_: IPNetwork) -> Iterator[tuple[str, IPAddress]]:
        for block in self.node.cluster.service_blocks:
            if block.range.version == range_.version and block.range.overlaps(range_):
                for name, each in self._routed(block):
                    if each in range_:
                        yield name, each

    def _routed(self, block: ServiceBlock) -> Iterator[tuple[str, IPAddress]]:
        """Cluster addresses that packets leave the node for, by the Service's name.

        In IPVS mode the node carries them itself, and there is nothing to route.
        """
        own = self.node.host.addresses
        return ((name, each) for name, each in block.members.items() if each not in own)

    @property
    def refused(self) -> Iterator[tuple[str, Route | None]]:
        """Ranges of pods and addresses of Services that no route leads to, or one that refuses."""
        routing = self.routing
        for way in self.ways:
            route = way.route if way.is_whole else routing.route_to(way.to.first)
            if route is None or route.type != "unicast":
                yield str(way.range), route
        for target in {a: None for pod in self.node.cluster.dns.replicas for a in pod.addresses}:
            route = routing.route_to(target)
            if route is None or route.type != "unicast":
                yield str(target), route
        for block in self.node.cluster.service_blocks:
            if routing.is_uniform(block.key):
                route = routing.route_to(block.range.network_address)
                if route is not None and route.type == "unicast":
                    continue
            for name, target in self._routed(block):
                route = routing.route_to(target)
                if route is None or route.type != "unicast":
                    yield name, route

    @property
    def out_of_pods(self) -> Iterator[tuple[Pod, Netns, IPAddress, Route | None]]:
        """Each wired pod's route to the DNS Service addresses of the families that it has.

        An address that its netns lost took its routes along, and is found on its own.
        """
        servers = sorted(self.node.cluster.dns.service_addresses, key=str)
        for pod, netns in self.node.wired_pods:
            families = {each.version for each in pod.addresses & netns.addresses}
            for server in servers:
                if server.version in families:
                    yield pod, netns, server, Routing(netns).route_to(server)


def _leave_alike(one: Route, other: Route) -> bool:
    return (one.type, one.index, one.gateway, one.hops) == (
        other.type,
        other.index,
        other.gateway,
        other.hops,
    )
