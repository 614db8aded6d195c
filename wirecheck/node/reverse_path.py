"""Reverse path filtering (rp_filter): packets that the kernel drops because of their source.

With rp_filter 1 (strict), the kernel drops a packet unless its route to the source goes through
the interface that received it. The larger of the interface's value and that of `all` counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.node_kinds import kind_of
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.network.plugins.flannel import PLUGIN as FLANNEL
from wirecheck.node.netns import Interface
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen

STRICT = 1
PATTERN = "/proc/sys/net/ipv4/conf/{}/rp_filter"


@dataclass(frozen=True)
class ReversePathDrop:
    """Packets received by a strict interface whose replies leave through another one."""

    interface: Interface
    who: str
    answered: str

    @property
    def name(self) -> str:
        return f"rp_filter of {self.interface.name}"


@dataclass(frozen=True)
class ReversePath:
    """rp_filter on one node. It exists for IPv4 only."""

    seen: NodeSeen
    routes: NodeRoutes

    @property
    def drops(self) -> Iterator[ReversePathDrop]:
        """The packets that strict filtering drops, by the node's routes and its CNI plugin."""
        yield from self._of_plugin()
        for who, enters, answered in [*self._from_pods(), *self._from_nodes()]:
            if (
                enters is not None
                and answered is not enters
                and answered != enters
                and self._is_strict(enters)
            ):
                yield ReversePathDrop(
                    enters,
                    f"packets of {who}",
                    f"through {answered.name}" if answered else "through no interface",
                )

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

    def _from_pods(self) -> Iterator[tuple[str, Interface | None, Interface | None]]:
        """(sender, receiving interface, interface of the replies) for pods of other nodes."""
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
                yield f"the pods of {peer.node.metadata.name}", tunnel, peer.device
            elif peer.to.backend == "host-gw":
                yield f"the pods of {peer.node.metadata.name}", self._uplink, peer.device

    def _from_nodes(self) -> Iterator[tuple[str, Interface | None, Interface | None]]:
        routing, uplink = self.routes.routing, self._uplink
        cluster = self.seen.cluster
        for each, name in cluster.node_index.internal_addresses:
            route = routing.route_to(each) if each.version == 4 else None
            if not kind_of(cluster.nodes[name]).has_machine or name == self.seen.name:
                continue
            if route is not None and route.type == "unicast":
                yield f"node {name}", uplink, routing.device_of(route)

    @cached_property
    def _uplink(self) -> Interface | None:
        """The interface with the node's address."""
        return next(
            (
                each
                for each in self.seen.host.interfaces
                if any(a.version == 4 for a in each.addresses & self.seen.addresses)
            ),
            None,
        )
