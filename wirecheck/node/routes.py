"""Routes from one node to the pods of other nodes and to Services."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, address, addresses
from wirecheck.api_index.node_addresses import node_ips
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.pod_ranges import BACKEND, PodRange
from wirecheck.api_index.service_blocks import LENGTHS
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.network.plugin import PeerRoutes
from wirecheck.network.plugins.flannel import CLOUD_BACKENDS, DEVICE_KINDS, EXTENSION, IPSEC
from wirecheck.node.netns import Interface, Netns
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.routing import EVERYTHING, Routing, is_in_further_table
from wirecheck.node.rule_selectors import Origin
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.netns import Address, Route
from wirecheck.snapshot.objects.node import NodeObject


@dataclass(frozen=True)
class PeerRoute:
    """One node's route to the pods of another node, in one family."""

    routing: Routing
    to: PodRange

    @property
    def node(self) -> NodeObject:
        """The other node."""
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
        """The route to the whole range."""
        return self.routing.route_to(self.to.first, self.to.length)

    @property
    def is_uniform(self) -> bool:
        """Whether all addresses of the range take that route."""
        family, length = self.to.family, self.to.length
        block = (family, self.to.start >> EVERYTHING[family].max_prefixlen - length)
        return length == LENGTHS[family] and self.routing.is_uniform(block)

    @cached_property
    def device(self) -> Interface | None:
        return self.routing.device_of(self.route) if self.route else None

    @property
    def table(self) -> int | None:
        """The table of the route if a rule leads to it before table main; None otherwise."""
        route = self.route
        return route.table if route is not None and is_in_further_table(route) else None

    @property
    def is_specific(self) -> bool:
        """Whether the route is for the range, not the default route."""
        return self.route is not None and self.route.destination != "default"

    @property
    def is_exact(self) -> bool:
        """Whether the route is for this range alone."""
        return self.route is not None and self.route.destination == str(self.range)

    @cached_property
    def is_right(self) -> bool:
        """Whether the route goes to that node: into a tunnel, or through one of its addresses."""
        route = self.route
        if route is None or not self.is_specific or route.type != "unicast":
            return False
        if self._is_flannels_tunnel(route):
            return True
        gateways = [route.gateway, *(hop.get("gateway", "") for hop in route.hops)]
        if any(each in self.to.nodes_addresses for each in addresses(gateways)):
            return True
        if self.device is None or not self._is_of_backend(self.device):
            return False
        # flannel's gateway in the overlay is the first address of the peer's range.
        return self.to.backend != "vxlan" or (
            bool(route.gateway) and address(route.gateway) in self.range and route.onlink
        )

    def _is_of_backend(self, device: Interface) -> bool:
        """Whether it is a tunnel of the kind that the backend in force uses.

        Packets for the tunnel of an earlier backend are lost: nobody serves it any more.
        """
        if not device.is_tunnel:
            return False
        return device.link.kind == DEVICE_KINDS.get(self.to.backend or "", device.link.kind)

    def _is_flannels_tunnel(self, route: Route) -> bool:
        """Whether it is exactly the route that flannel adds: a fast path for most nodes."""
        return (
            self.to.backend == "vxlan"
            and route.onlink
            and route.gateway == self.to.first_text
            and self.device is not None
            and self._is_of_backend(self.device)
        )

    @property
    def expected(self) -> str:
        where = f"node {self.node.metadata.name}"
        if self.to.backend == "vxlan":
            return f"{self.range} via {self.range.network_address} on the VXLAN device, to {where}"
        if kind := DEVICE_KINDS.get(self.to.backend or ""):
            return f"{self.range} into a {kind} device, flannel's backend, to {where}"
        return f"{self.range} via an address of {where}, or into a tunnel"

    @property
    def found(self) -> str:
        return self.routing.text_of(self.route)


@dataclass(frozen=True)
class NodeRoutes:
    """The routes of one node's own netns."""

    seen: NodeSeen
    namespaces: PodNamespaces

    @property
    def routing(self) -> Routing:
        return self.seen.routing

    def source_of(self, route: Route) -> IPAddress | None:
        """Return the source that the kernel chooses for a route: inet_select_addr.

        That is the route's own, else the first address of its device, else the first address of
        the node by the index of its interface. For IPv6 it is the node's own address.
        """
        if route.type != "unicast":
            return None
        if route.source:
            return address(route.source)
        if route.family == 6:
            return next((each for each in node_ips(self.seen.object) if each.version == 6), None)
        known = [e for e in self._own_ipv4 if e.index == route.index] or self._own_ipv4
        return address(known[0].address) if known else None

    @cached_property
    def _own_ipv4(self) -> Sequence[Address]:
        record = sorted(self.seen.host.record.addresses, key=lambda each: each.index)
        return [each for each in record if each.scope == "global" and ":" not in each.address]

    def connected(self, target: IPAddress) -> Route | None:
        """Return the route of the node's own connections to `target`.

        The kernel looks it up a second time with the source that it has chosen
        (ip_route_connect), which rules for a source may refuse.
        """
        route = self.routing.route_to(target)
        if not self._has_source_rules or route is None:
            return route
        source = self.source_of(route)
        return self.routing.route_to(target, origin=Origin(source=source)) if source else route

    @cached_property
    def _has_source_rules(self) -> bool:
        return any(each.source for each in self.seen.host.record.rules)

    @cached_property
    def peer_routes(self) -> tuple[PeerRoute, ...]:
        """The routes to the ranges of all other nodes.

        Raises NotApplicable where nodes do not need such routes.
        """
        cluster = self.seen.cluster
        if self.seen.bypasses_routing:
            raise NotApplicable(f"{self.seen.cni} forwards to pods without routes on the node")
        if not self.seen.assigns_from_pod_cidrs:
            raise NotApplicable(f"{self.seen.cni} does not assign addresses from spec.podCIDRs")
        peers = [each for name, each in cluster.nodes.items() if name != self.seen.name]
        if not peers:
            raise NotApplicable("there is no other node")
        backends = {each.metadata.annotations.get(BACKEND) for each in peers}
        has_flannel = backends != {None}
        if backends & CLOUD_BACKENDS:
            raise NotApplicable("flannel's backend leaves routing to the cloud")
        if IPSEC in backends:
            raise NotApplicable("flannel's backend ipsec needs no routes: it uses XFRM policies")
        families = {each.version for each in self.seen.pod_ranges}
        routes = tuple(
            PeerRoute(self.routing, each)
            for each in cluster.node_index.pod_ranges
            # A node without flannel's annotations is just joining.
            if each.family in families
            and each.node.metadata.name != self.seen.name
            and (each.backend is not None or not has_flannel)
        )
        adds_routes = has_flannel or self.seen.cni.routes is PeerRoutes.EACH_NODE
        has_routes = adds_routes and EXTENSION not in backends
        # An unknown plugin may have one route for the pods of all nodes, with rules of its own.
        if not (has_routes or any(each.is_exact for each in routes)):
            raise NotApplicable("the ranges of all nodes are routed outside of the nodes")
        return routes

    @property
    def shadows(self) -> Iterator[tuple[PeerRoute, Route]]:
        """Routes to a part of another node's range that differ from the route to the range."""
        by_prefix = {
            (peer.to.family, peer.to.length, peer.to.start): peer for peer in self.peer_routes
        }
        lengths = {(peer.to.family, peer.to.length) for peer in self.peer_routes}
        for (version, narrower, start), route in self.routing.prefixes:
            bits = EVERYTHING[version].max_prefixlen
            for family, length in lengths:
                if version != family or narrower <= length:
                    continue
                peer = by_prefix.get((family, length, start >> (bits - length) << (bits - length)))
                if peer and peer.route and not _leave_alike(route, peer.route):
                    yield peer, route

    @property
    def pod_routes(self) -> Iterator[tuple[Pod, Netns, IPAddress, Route | None]]:
        """Each pod's route to the DNS Service addresses of its families.

        A family whose address the netns lost is left out: the lost address is a finding itself.
        Raises NotApplicable without such pods, and without a DNS Service.
        """
        self.namespaces.require_own_netns()
        servers = sorted(self.seen.cluster.dns.service_addresses, key=str)
        if not servers:
            raise NotApplicable("the cluster has no usual DNS Service")
        for pod, netns in self.namespaces.pods_with_netns:
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
