"""Routes of a netns: which of them a packet takes, and those towards the pods of other nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from wirecheck.addresses import IPAddress, IPNetwork, address, addresses, contains, network
from wirecheck.findings import NotApplicable, Ref
from wirecheck.model.netns import Interface, Netns
from wirecheck.model.pod import Pod
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

BACKEND = "flannel.alpha.coreos.com/backend-type"
CLOUD_BACKENDS = frozenset({"alloc", "aws-vpc", "gce", "ali-vpc", "tencent-vpc"})
"""Backends of flannel that program the cloud's routers instead of the nodes."""

Prefix = tuple[int, int, int]
"""Family, length, network address."""


@dataclass(frozen=True)
class Routing:
    """The routes of one netns, by the rules that hold for every packet.

    Rules that ask for a source, a mark or an interface concern some packets only, which of
    them is not known here: they are left out. The local table is not in the snapshot.
    """

    netns: Netns

    @cached_property
    def _tables(self) -> Mapping[int, Mapping[Prefix, Route]]:
        tables: dict[int, dict[Prefix, Route]] = {}
        for route in self.netns.record.routes:
            table = tables.setdefault(route.table, {})
            key = _prefix(destination_of(route))
            if key not in table or route.metric < table[key].metric:
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
        for table in self._tables_for(target):
            for length in self._lengths.get((table, target.version), ()):
                if length > longest:
                    continue
                start = int(target) >> (target.max_prefixlen - length)
                key = (target.version, length, start << (target.max_prefixlen - length))
                route = self._tables[table].get(key)
                if route is not None and route.type != "throw":
                    return route
                if route is not None:
                    break  # `throw` ends the search in this table alone.
        return None

    def _tables_for(self, target: IPAddress) -> Iterator[int]:
        rules = self._rules.get(target.version, ())
        if not rules:
            yield MAIN
        for rule in rules:
            if rule.action == "lookup" and _holds_for_all(rule, target):
                yield rule.table

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


def _holds_for_all(rule: Rule, target: IPAddress) -> bool:
    if rule.source or rule.iif or rule.oif or rule.mark:
        return False
    return not rule.destination or target in network(rule.destination)


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
    peer: NodeObject
    range: IPNetwork

    @property
    def name(self) -> str:
        """`route to 10.244.1.0/24`."""
        return f"route to {self.range}"

    @property
    def peer_ref(self) -> Ref:
        return Ref("Node", self.peer.metadata.name, uid=self.peer.metadata.uid)

    @cached_property
    def route(self) -> Route | None:
        """The route that is taken to the range as a whole."""
        return self.routing.route_to(self.range.network_address, self.range.prefixlen)

    @property
    def device(self) -> Interface | None:
        return self.routing.device_of(self.route) if self.route else None

    @cached_property
    def is_specific(self) -> bool:
        """Whether the route is for pods, and none that also leads to the rest of the world."""
        return self.route is not None and self.route.destination != "default"

    @cached_property
    def _peers_addresses(self) -> frozenset[IPAddress]:
        notes = self.peer.metadata.annotations
        announced = [notes.get(f"flannel.alpha.coreos.com/public-ip{v}", "") for v in ("", "v6")]
        listed = [e.address for e in self.peer.status.addresses if e.type.endswith("IP")]
        return addresses([*listed, *announced])

    @property
    def is_right(self) -> bool:
        """Whether it leads to that node: into a tunnel, or to one of the node's own addresses."""
        route = self.route
        if route is None or not self.is_specific or route.type != "unicast":
            return False
        gateways = [route.gateway, *(hop.get("gateway", "") for hop in route.hops)]
        if any(each in self._peers_addresses for each in addresses(gateways)):
            return True
        if self.device is None or self.device.link.kind not in TUNNELS:
            return False
        backend = self.peer.metadata.annotations.get(BACKEND)
        if backend == "host-gw":
            return False
        # flannel's gateway on the overlay is the first address of the peer's own range.
        return backend != "vxlan" or (
            bool(route.gateway) and address(route.gateway) in self.range and route.onlink
        )

    @property
    def expected(self) -> str:
        where = f"node {self.peer.metadata.name}"
        kind = self.peer.metadata.annotations.get(BACKEND)
        if kind == "vxlan":
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
        has_flannel = any(BACKEND in each.metadata.annotations for each in peers)
        if any(each.metadata.annotations.get(BACKEND) in CLOUD_BACKENDS for each in peers):
            raise NotApplicable("flannel leaves routing to the cloud here")
        ways = tuple(
            Way(self.routing, peer, network(range_))
            for peer in peers
            # A node that flannel does not know yet is one that is just joining.
            if not has_flannel or BACKEND in peer.metadata.annotations
            for range_ in dict.fromkeys(filter(None, [peer.spec.pod_cidr, *peer.spec.pod_cidrs]))
            if contains(self._families, network(range_).network_address)
        )
        if not (has_flannel or cluster.cni in ROUTING_CNIS or any(w.is_specific for w in ways)):
            raise NotApplicable("pods' ranges are routed outside of the nodes, for all of them")
        return ways

    @cached_property
    def _families(self) -> tuple[IPNetwork, ...]:
        """Everything of the families that the node itself has a range of."""
        return tuple(EVERYTHING[each.version] for each in self.node.pod_ranges)

    @property
    def shadowing(self) -> Iterator[tuple[Way, Route]]:
        """Routes to a part of another node's range that leave it in another way."""
        by_prefix = {_prefix(way.range): way for way in self.ways}
        lengths = {(way.range.version, way.range.prefixlen) for way in self.ways}
        for route in self.node.host.record.routes:
            part = destination_of(route)
            for family, length in lengths:
                if part.version != family or part.prefixlen <= length:
                    continue
                way = by_prefix.get(_prefix(part.supernet(new_prefix=length)))
                if way and way.route and not _leave_alike(route, way.route):
                    yield way, route

    @property
    def overlaps(self) -> Iterator[tuple[Interface, IPNetwork, str]]:
        """Networks that a device is in and that belong to pods of others or to Services."""
        services = self.service_addresses
        for route in self.node.host.record.routes:
            device = self.routing.device_of(route)
            if route.protocol != KERNEL or route.gateway or device is None:
                continue
            range_ = destination_of(route)
            for way in self.ways:
                if range_.version == way.range.version and range_.overlaps(way.range):
                    yield device, range_, f"{way.range}, the pods of {way.peer.metadata.name}"
            for name, each in services.items():
                if each.version == range_.version and each in range_:
                    yield device, range_, f"{each}, the address of Service {name}"
                    break

    @cached_property
    def service_addresses(self) -> Mapping[str, IPAddress]:
        """Cluster addresses that packets leave the node for, by the Service's name.

        In IPVS mode the node carries them itself, and there is nothing to route.
        """
        own = self.node.host.addresses
        found = {}
        for (namespace, name), service in self.node.cluster.services.items():
            spec = service.spec
            for each in addresses({spec.cluster_ip, *spec.cluster_ips} - {"None"}) - own:
                found[f"{namespace}/{name} {each}"] = each
        return found

    @property
    def refused(self) -> Iterator[tuple[str, Route | None]]:
        """Ranges of pods and addresses of Services that no route leads to, or one that refuses."""
        targets = {str(way.range): way.range.network_address for way in self.ways}
        replicas = {str(a): a for pod in self.node.cluster.dns.replicas for a in pod.addresses}
        for name, target in {**targets, **replicas, **self.service_addresses}.items():
            route = self.routing.route_to(target)
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
