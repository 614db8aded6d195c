"""Reverse path filtering: whether the kernel takes in what comes by another way than it goes out.

With rp_filter 1, strict, it drops a packet whose source it would not reach by the interface
that the packet came in by. It counts the larger of the interface's value and that of `all`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.network.plugins.flannel import PLUGIN as FLANNEL
from wirecheck.node.netns import Interface
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen

STRICT = 1
PATTERN = "/proc/sys/net/ipv4/conf/{}/rp_filter"


@dataclass(frozen=True)
class ReversePathDrop:
    """Packets that come in by a strict interface, and would be answered by another one."""

    interface: Interface
    who: str
    answered: str

    @property
    def name(self) -> str:
        return f"rp_filter of {self.interface.name}"


@dataclass(frozen=True)
class ReversePath:
    """The filter on one node; it is there for IPv4 alone."""

    seen: NodeSeen
    routes: NodeRoutes

    @property
    def drops(self) -> Iterator[ReversePathDrop]:
        """What strict filtering drops by the routes and the CNI plugin that the node has."""
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
                    f"by {answered.name}" if answered else "by no interface",
                )

    def _is_strict(self, interface: Interface) -> bool:
        return max(self._value("all"), self._value(interface.name)) == STRICT

    def _value(self, name: str) -> int:
        text = self.seen.file(PATTERN.format(name)).strip()
        if not text.isdigit():
            raise FactMissingError(f"rp_filter of {name} on {self.seen.name} is {text!r}.")
        return int(text)

    def _of_plugin(self) -> Iterator[ReversePathDrop]:
        prefixes = self.seen.cluster.cni.redirected_devices
        for each in self.seen.host.interfaces:
            if each.is_up and each.name.startswith(prefixes) and self._is_strict(each):
                yield ReversePathDrop(
                    each, "packets of its pod", "by no route, as eBPF redirects them"
                )

    def _from_pods(self) -> Iterator[tuple[str, Interface | None, Interface | None]]:
        """(whose packets, where they come in, where their answers leave) of other nodes' pods."""
        try:
            ways = self.routes.peer_routes
        except NotApplicable:
            return
        tunnels = (each for each in self.seen.host.interfaces if each.link.kind == "vxlan")
        tunnel = next((each for each in tunnels if each.name.startswith(FLANNEL.own_devices)), None)
        for way in ways:
            if way.to.family != 4 or way.route is None:
                continue
            if way.to.backend == "vxlan":
                yield f"the pods of {way.peer.metadata.name}", tunnel, way.device
            elif way.to.backend == "host-gw":
                yield f"the pods of {way.peer.metadata.name}", self._uplink, way.device

    def _from_nodes(self) -> Iterator[tuple[str, Interface | None, Interface | None]]:
        routing, uplink = self.routes.routing, self._uplink
        for each, name in self.seen.cluster.node_index.internal_addresses:
            route = routing.route_to(each) if each.version == 4 else None
            if route is not None and route.type == "unicast" and name != self.seen.name:
                yield f"node {name}", uplink, routing.device_of(route)

    @cached_property
    def _uplink(self) -> Interface | None:
        """The interface that has the node's address, by which the others talk to it."""
        return next(
            (
                each
                for each in self.seen.host.interfaces
                if any(a.version == 4 for a in each.addresses & self.seen.addresses)
            ),
            None,
        )
