"""Reverse path filtering (rp_filter): packets that the kernel drops because of their source.

With rp_filter 1 (strict), the kernel drops a packet unless its route to the source goes through
the interface that received it. The larger of the interface's value and that of `all` counts. The
kernel looks the route up from the address that the packet was sent to (fib_validate_source), so
that rules for a source address count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, address, network
from wirecheck.api_index.node_addresses import node_ips
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.network.plugins.flannel import PLUGIN as FLANNEL
from wirecheck.node.netns import Interface
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.rule_selectors import Origin
from wirecheck.node.seen import NodeSeen

Entrance = tuple[Interface, IPAddress, IPNetwork]
"""An interface, the address of the node on it, and the network of that address."""

STRICT = 1
PATTERN = "/proc/sys/net/ipv4/conf/{}/rp_filter"


@dataclass(frozen=True)
class ReversePathDrop:
    """Packets received by a strict interface whose replies leave through another one."""

    interface: Interface
    who: str
    answered: str
    inconclusive: str = ""

    @property
    def name(self) -> str:
        return f"rp_filter of {self.interface.name}"


@dataclass(frozen=True)
class Arrival:
    """Packets of one sender."""

    who: str
    enters: Interface | None
    """The interface that receives them."""
    answered: Interface | None
    """The interface of the replies."""
    inconclusive: str = ""


@dataclass(frozen=True)
class ReversePath:
    """rp_filter on one node. It exists for IPv4 only."""

    seen: NodeSeen
    routes: NodeRoutes

    @property
    def drops(self) -> Iterator[ReversePathDrop]:
        """The packets that strict filtering drops, by the node's routes and its CNI plugin."""
        yield from self._of_plugin()
        reported: set[tuple[str, int]] = set()
        for each in [*self._from_pods(), *self._from_nodes(), *self._to_node_ports()]:
            enters = each.enters
            if enters is None or each.answered == enters or (each.who, enters.index) in reported:
                continue
            if self._is_strict(enters):
                reported.add((each.who, enters.index))
                yield ReversePathDrop(
                    enters,
                    f"packets of {each.who}",
                    f"through {each.answered.name}" if each.answered else "through no interface",
                    each.inconclusive,
                )

    def _may_be_strict(self, interface: Interface) -> bool:
        """Whether it filters strictly, or that is not known."""
        try:
            return self._is_strict(interface)
        except FactMissingError:
            return True

    def _is_strict(self, interface: Interface) -> bool:
        return max(self._value("all"), self._value(interface.name)) == STRICT

    def _value(self, name: str) -> int:
        text = self.seen.file(PATTERN.format(name)).strip()
        if not text.isdigit():
            raise FactMissingError(
                f"rp_filter of {name} on {self.seen.name} is {text!r}, not a number."
            )
        return int(text)

    def _of_plugin(self) -> Iterator[ReversePathDrop]:
        prefixes = self.seen.cni.redirected_devices
        for each in self.seen.host.interfaces:
            if each.is_up and each.name.startswith(prefixes) and self._is_strict(each):
                yield ReversePathDrop(each, "packets of its pod", "by eBPF, not through a route")

    def _from_pods(self) -> Iterator[Arrival]:
        """Packets of the pods of other nodes."""
        try:
            routes = self.routes.peer_routes
        except NotApplicable:
            return
        tunnels = (each for each in self.seen.host.interfaces if each.link.kind == "vxlan")
        tunnel = next((each for each in tunnels if each.name.startswith(FLANNEL.own_devices)), None)
        for peer in routes:
            if peer.to.family != 4 or peer.route is None:
                continue
            if peer.to.backend == "vxlan":
                yield Arrival(f"the pods of {peer.node.metadata.name}", tunnel, peer.device)
            elif peer.to.backend == "host-gw":
                yield Arrival(f"the pods of {peer.node.metadata.name}", self._uplink, peer.device)

    def _from_nodes(self) -> Iterator[Arrival]:
        """Packets of the other nodes, from each of their addresses."""
        # One lookup per other node is much in a large cluster, and most nodes filter loosely.
        if not any(self._may_be_strict(interface) for interface, _, _ in self._entrances):
            return
        own = self._own
        machines = self.seen.cluster.machines - {self.seen.name}
        for each, name in self.seen.cluster.node_index.node_ips:
            if each.version == 4 and name in machines and each not in own:
                yield from self._arrivals(f"node {name}", each)

    def _to_node_ports(self) -> Iterator[Arrival]:
        """Packets to node ports, which arrive at the node and are answered by a pod's own table.

        The kernel filters after the destination was translated. So the plugins of clouds need
        loose filtering on the first interface for pods of a further one.
        """
        rules = [e for e in self.seen.host.record.rules if e.source and not (e.mark or e.iif)]
        ports = (port for s in self.seen.cluster.services.values() for port in s.spec.ports)
        others = self.seen.cluster.node_index.node_ips
        client = next((a for a, n in others if a.version == 4 and n != self.seen.name), None)
        uplink = next((each for each in self._entrances if each[0] == self._uplink), None)
        if self.seen.bypasses_routing or not rules or client is None or uplink is None:
            return
        if not any(port.node_port for port in ports):
            return
        for pod in self.seen.pods:
            for own in sorted(pod.addresses, key=str) if pod.has_own_netns else ():
                if any(own in network(e.source) for e in rules if e.family == own.version == 4):
                    yield self._arrival("clients of node ports", client, uplink[0], own)

    def _arrivals(self, who: str, sender: IPAddress) -> Iterator[Arrival]:
        """The packets of one address arrive at the interface in its network.

        A sender behind a router sends to one of the node's addresses. If they are on several
        interfaces, the packets may arrive at any of them, probably at that of the replies.
        """
        near = [each for each in self._entrances if sender in each[2]][:1]
        possible = near or self._entrances
        found = [self._arrival(who, sender, interface, to) for interface, to, _ in possible]
        if any(each.enters == each.answered for each in found):
            return
        is_sure = len({each.enters.index for each in found if each.enters}) == 1
        reason = "" if is_sure else "nodes behind a router that may use any of several networks"
        for each in found:
            yield replace(each, inconclusive=reason)

    def _arrival(self, who: str, sender: IPAddress, interface: Interface, to: IPAddress) -> Arrival:
        route = self.routes.routing.route_to(sender, origin=Origin(source=to))
        if route is None or route.type != "unicast":
            # The kernel drops such a packet whatever rp_filter is; routes.* reports the route.
            return Arrival(who, interface, interface)
        hops = {int(hop["index"]) for hop in route.hops if hop.get("index", "").isdigit()}
        if interface.index in hops:
            return Arrival(who, interface, interface)
        return Arrival(who, interface, self.routes.routing.device_of(route))

    @cached_property
    def _entrances(self) -> Sequence[Entrance]:
        """The interfaces with an address at which the cluster reaches the node.

        The longest prefixes come first: a host may have an address of a network within another.
        No packet arrives on a dummy device, which some hosts have their address on.
        """
        wanted = frozenset(node_ips(self.seen.object))
        record = self.seen.host.record.addresses
        found = [
            (interface, known, network(f"{each.address}/{each.prefix}"))
            for each in record
            if (known := address(each.address)).version == 4 and known in wanted
            if (interface := self.seen.host.by_index.get(each.index)) is not None
            and interface.link.kind != "dummy"
        ]
        return sorted(found, key=lambda each: -each[2].prefixlen)

    @property
    def _own(self) -> frozenset[IPAddress]:
        return self.routes.routing.own

    @property
    def _uplink(self) -> Interface | None:
        """The interface with the node's first address."""
        first = next((each for each in node_ips(self.seen.object) if each.version == 4), None)
        return next((interface for interface, own, _ in self._entrances if own == first), None)
