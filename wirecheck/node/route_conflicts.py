"""Routes of one node that take packets away from Services, pods and other nodes.

Nothing here depends on where a CNI plugin's addresses come from: Services, DNS replicas and nodes
are known from the API, and a pod counts where the kernel would really take the route to it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

from wirecheck.addresses import IPAddress, IPNetwork, address, contains, network
from wirecheck.api_index.service_blocks import ServiceBlock
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.network.plugin import UNKNOWN
from wirecheck.network.plugins.cilium import PLUGIN as CILIUM
from wirecheck.network.registry import OWN_DEVICES
from wirecheck.node.netns import KERNEL, Interface
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.refused_senders import MOST_PODS, Blackhole, RefusedSenders, name_of
from wirecheck.node.routes import NodeRoutes, PeerRoute
from wirecheck.node.routing import (
    EVERYTHING,
    REFUSING,
    UNSPECIFIED,
    Routing,
    destination_of,
    leads_on,
    length_of,
)
from wirecheck.node.rule_selectors import action_of
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.netns import Route

VPN_KINDS = frozenset({"tun", "wireguard", "ppp", "vti", "xfrm"})
"""Kinds of tunnels that VPNs create, and some CNI plugins and meshes between nodes."""
MESHES = ("wireguard.cali", "wg-v6.cali", "kilo", "kubespan", "tailscale", "antrea-wg")
"""Name prefixes of tunnels between the nodes of a cluster that belong to no plugin's record."""
UNRESOLVED = frozenset({"INCOMPLETE", "FAILED"})
"""States of a neighbour entry for an address that did not answer."""
BEHIND_BRIDGE = "bridges on which something answers at the node's address"
IN_THE_SOCKET = "Services without a route: {} may translate addresses in the socket"
"""With its socket load balancer, connections to a Service need a route to the backend only."""
WHOLE_INTERNET = 1
"""A VPN replaces the default route by two routes with this prefix length."""


@dataclass(frozen=True)
class Overlap:
    """A network that is not the cluster's, and something of the cluster within it."""

    device: Interface
    range: IPNetwork
    owner: str
    inconclusive: str = ""


@dataclass(frozen=True)
class RouteConflicts:
    """Overlaps with networks of devices, and routes that refuse packets."""

    seen: NodeSeen
    namespaces: PodNamespaces
    routes: NodeRoutes

    @property
    def _routing(self) -> Routing:
        return self.routes.routing

    @cached_property
    def _peer_routes(self) -> tuple[PeerRoute, ...]:
        """Empty where nodes need no routes to the ranges of other nodes."""
        try:
            return self.routes.peer_routes
        except NotApplicable:
            return ()

    @property
    def overlaps(self) -> Iterator[Overlap]:
        """Networks of devices that contain addresses of Services, pods or other nodes."""
        for route in self.seen.host.record.routes:
            device = self._routing.device_of(route)
            if device is None or route.type != "unicast":
                continue
            range_ = destination_of(route)
            if route.protocol == KERNEL and not route.gateway:
                yield from self._in_network(device, range_, route)
            elif self._is_vpn(device) and range_.prefixlen > WHOLE_INTERNET:
                yield from self._in_vpn(device, range_, route)

    def _in_network(self, device: Interface, range_: IPNetwork, route: Route) -> Iterator[Overlap]:
        family, start, end = range_.version, int(range_[0]), int(range_[-1])
        peers = [
            each
            for each in self._peer_routes
            if each.to.family == family and each.to.start <= end and start <= each.to.end
        ]
        for each in peers:
            owner = f"{each.range}, the pods of {each.node.metadata.name}"
            yield Overlap(device, range_, owner)
        name, found = next(self._services_in(range_), ("", None))
        if found:
            yield Overlap(device, range_, f"{found}, the address of Service {name}")
        if self._is_closed(device):
            if not peers:
                yield from self._pods_through(device, range_, route)
            yield from self._nodes_through(device, range_, route)

    def _in_vpn(self, device: Interface, range_: IPNetwork, route: Route) -> Iterator[Overlap]:
        for name, each in self._services_in(range_):
            if self._routing.route_to(each) is route:
                yield Overlap(device, range_, f"{each}, the address of Service {name}")
                break
        is_to_one_node = any(
            each.range.version == range_.version and contains([each.range], range_[0])
            for each in self.seen.cluster.node_index.pod_ranges
        )
        if not is_to_one_node:
            yield from self._pods_through(device, range_, route)
        for overlap in self._nodes_through(device, range_, route):
            yield replace(overlap, inconclusive="tunnels that may connect the nodes on purpose")

    def _pods_through(
        self, device: Interface, range_: IPNetwork, route: Route
    ) -> Iterator[Overlap]:
        """The first pod of another node that the route takes, a DNS replica if there is one."""
        replicas = {a for pod in self.seen.cluster.dns.replicas for a in pod.addresses}
        taken = [
            (where, pod)
            for where, pod in self.seen.cluster.pod_index.within(range_)
            if pod.node_name != self.seen.name and self._routing.route_to(where) is route
        ]
        if not taken:
            return
        where, pod = min(taken, key=lambda each: (each[0] not in replicas, str(each[0])))
        kind = "DNS replica" if where in replicas else "Pod"
        is_unknown = self._is_vpn(device) and self.seen.cni.name == UNKNOWN.name
        reason = "tunnels that may belong to an unknown CNI plugin" if is_unknown else ""
        owner = f"{where}, the address of {kind} {pod.namespace}/{pod.name} on {pod.node_name}"
        yield Overlap(device, range_, owner, reason)

    def _nodes_through(
        self, device: Interface, range_: IPNetwork, route: Route
    ) -> Iterator[Overlap]:
        doubt = None
        for where, owner in self._machines:
            if not contains([range_], where) or self._routing.route_to(where) is not route:
                continue
            found = Overlap(device, range_, f"{where}, the address of {owner}")
            kinds = self._kinds_behind(device) if self._answers(device, where) else frozenset()
            if not kinds:
                yield found
                return
            if "tun" not in kinds:
                doubt = doubt or replace(found, inconclusive=BEHIND_BRIDGE)
        if doubt:
            yield doubt

    def _answers(self, device: Interface, where: IPAddress) -> bool:
        """Whether something on the device's own network has the address."""
        return any(
            each.index == device.index and each.mac and address(each.address) == where
            for each in self.seen.host.record.neighbours
            if each.state not in UNRESOLVED
        )

    def _kinds_behind(self, bridge: Interface) -> frozenset[str]:
        """The kinds of the bridge's ports: `tun` for virtual machines, which may be nodes."""
        ports = (e for e in self.seen.host.interfaces if e.link.master == bridge.index)
        return frozenset(each.link.kind for each in ports)

    @cached_property
    def _machines(self) -> tuple[tuple[IPAddress, str], ...]:
        """The addresses of the other nodes and of API servers, with their names."""
        cluster = self.seen.cluster
        nodes = {where: f"Node {name}" for where, name in cluster.node_index.node_ips}
        servers = dict.fromkeys(cluster.destinations.api_servers, "an API server")
        own = self._routing.own | self.seen.addresses
        return tuple((e, name) for e, name in (servers | nodes).items() if e not in own)

    def _is_closed(self, device: Interface) -> bool:
        """Whether nothing of another machine can be on the device's network.

        That is a dummy device, or a bridge of containers and virtual machines: without the node's
        address, without pods of the API, and without a port that leads out of the node.
        """
        if device.addresses & self.seen.addresses:
            return False
        if device.link.kind == "dummy":
            return True
        ports = [each for each in self.seen.host.interfaces if each.link.master == device.index]
        return (
            device.is_bridge
            and device.index not in self._bridges_of_pods
            and all(
                each.link.kind == "tun" or (each.is_paired and each.link.peer_nsid is not None)
                for each in ports
            )
        )

    @cached_property
    def _bridges_of_pods(self) -> frozenset[int | None]:
        return frozenset(each.outer.link.master for each in self.namespaces.veths if each.outer)

    def _is_vpn(self, device: Interface) -> bool:
        return (
            device.link.kind in VPN_KINDS
            and not device.name.startswith((*OWN_DEVICES, *MESHES))
            and not device.addresses & self.seen.addresses
        )

    def _services_in(self, range_: IPNetwork) -> Iterator[tuple[str, IPAddress]]:
        for block in self.seen.cluster.service_blocks:
            if block.range.version == range_.version and block.range.overlaps(range_):
                for name, each in self._routed(block):
                    if each in range_:
                        yield name, each

    def _routed(self, block: ServiceBlock) -> Iterator[tuple[str, IPAddress]]:
        """The cluster IPs that the node itself does not have, by the Service's name.

        In IPVS mode the node has them on a device, and they need no route.
        """
        own = self._routing.own
        return ((name, each) for name, each in block.members.items() if each not in own)

    @property
    def blackholes(self) -> Iterator[Blackhole]:
        """Ranges of pods and addresses of Services with no route, or with one that refuses."""
        replacement = self.seen.proxy_replacement
        is_translated = replacement == CILIUM.name
        for name, route in self._refused_services:
            reason = IN_THE_SOCKET.format(replacement) if is_translated and route is None else ""
            yield Blackhole(name, route, inconclusive=reason)
        for name, route in self._refused:
            yield Blackhole(name, route)
        yield from RefusedSenders(self.seen, self.routes).blackholes

    @property
    def _refused(self) -> Iterator[tuple[str, Route | None]]:
        """Ranges of pods, DNS replicas, nodes and API servers."""
        routing = self._routing
        for peer in self._peer_routes:
            route = peer.route if peer.is_uniform else routing.route_to(peer.to.first)
            if not leads_on(route):
                yield str(peer.range), route
        replicas = {a: None for pod in self.seen.cluster.dns.replicas for a in pod.addresses}
        for target in replicas:
            route = self.routes.connected(target)
            if not leads_on(route):
                yield str(target), route
        for where, owner in self._machines if self._refused_ranges else ():
            route = self.routes.connected(where)
            if route is not None and route.type in REFUSING:
                yield f"{owner} {where}", route
        yield from islice(self._refused_own_pods(replicas), MOST_PODS)
        if not self._peer_routes:
            yield from ((n, r) for n, where, r in self._refused_pods if where not in replicas)

    def _refused_own_pods(
        self, reported: Container[IPAddress]
    ) -> Iterator[tuple[str, Route | None]]:
        """Pods of the node for which a rule, or a route for their very address, refuses packets.

        Refusing routes for ranges are the plugin's: pods have routes of their own beside these.
        """
        pods = self.seen.pods if self._refused_ranges and not self.seen.bypasses_routing else ()
        for pod in pods:
            for where in sorted(pod.addresses, key=str) if pod.has_own_netns else ():
                route = None if where in reported else self._routing.route_to(where)
                if route is None or route.type not in REFUSING:
                    continue
                if route.table == UNSPECIFIED or length_of(route) == where.max_prefixlen:
                    yield name_of(pod, where), route

    @property
    def _refused_services(self) -> Iterator[tuple[str, Route | None]]:
        for block in self.seen.cluster.service_blocks:
            first = block.range.network_address
            if self._routing.is_uniform(block.key) and leads_on(self.routes.connected(first)):
                continue
            for name, target in self._routed(block):
                route = self.routes.connected(target)
                if not leads_on(route):
                    yield name, route

    @cached_property
    def _refused_ranges(self) -> tuple[IPNetwork, ...]:
        """The ranges of routes and rules that refuse packets, if the kernel gets to them."""
        record = self.seen.host.record
        routes = [destination_of(each) for each in record.routes if each.type in REFUSING]
        rules = [
            network(each.destination) if each.destination else EVERYTHING[each.family]
            for each in record.rules
            if action_of(each) in REFUSING and not (each.mark or each.iif or each.oif)
        ]
        return tuple(dict.fromkeys([*routes, *rules]))

    @property
    def _refused_pods(self) -> Iterator[tuple[str, IPAddress, Route | None]]:
        """Pods of other nodes within the ranges that routes and rules refuse."""
        for range_ in self._refused_ranges:
            found = 0
            for where, pod in self.seen.cluster.pod_index.within(range_):
                if pod.node_name == self.seen.name or found == MOST_PODS:
                    continue
                route = self.routes.connected(where)
                if route is not None and route.type in REFUSING:
                    found += 1
                    yield name_of(pod, where), where, route
