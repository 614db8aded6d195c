"""flannel's VXLAN overlay on one node: its device, and its entries for the other nodes.

What the nodes announce, and which entries follow from it, is in `api_index.vteps`. Calico's
overlay is in `calico_overlay`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.node_addresses import valid_addresses
from wirecheck.api_index.node_ref import node_ref
from wirecheck.api_index.vteps import OVERWRITE, Vtep, vteps_of
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.network.plugin import UNKNOWN
from wirecheck.network.plugins.flannel import PLUGIN as FLANNEL
from wirecheck.network.plugins.flannel import vxlan_device
from wirecheck.node.netns import Interface
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen

OVERHEAD = {4: 50, 6: 70}
"""Bytes that VXLAN adds to a packet: outer IP, UDP, VXLAN and inner Ethernet headers."""
NOT_ANNOUNCED = "entries at addresses of nodes that announce no tunnel endpoint"


@dataclass(frozen=True)
class OverlayMismatch:
    """A missing, wrong or stale entry of the overlay."""

    ref: Ref
    expected: str
    found: str
    concerns: tuple[Ref, ...] = ()
    inconclusive: str = ""
    """Why it cannot be decided whether this is wrong; empty where it is."""


@dataclass(frozen=True)
class Overlay:
    """The node's own tunnel endpoints, and its entries for those of the other nodes."""

    seen: NodeSeen
    namespaces: PodNamespaces
    routes: NodeRoutes

    @cached_property
    def own(self) -> Mapping[int, Vtep]:
        """The node's own tunnel endpoints, by family. Raises NotApplicable without VXLAN."""
        if why := self._why_not_in_force:
            raise NotApplicable(why)
        found = {each.family: each for each in vteps_of(self.seen.object)}
        if not found:
            raise NotApplicable("the node has no annotation of flannel about a VXLAN overlay")
        return found

    @property
    def _why_not_in_force(self) -> str:
        """Why flannel's annotations are left from before; empty if flannel joins the nodes."""
        plugin = self.seen.cni
        agents = (plugin, *self.seen.cluster.cni_agents)
        has_flannel = any(set(each.own_devices) & set(FLANNEL.own_devices) for each in agents)
        return "" if has_flannel or plugin is UNKNOWN else f"{plugin} connects the nodes"

    @cached_property
    def peers(self) -> tuple[Vtep, ...]:
        """The tunnel endpoints of the other nodes, in the families of the node's own."""
        others = (
            each for n, each in self.seen.cluster.node_index.vteps.items() if n != self.seen.name
        )
        return tuple(vtep for each in others for vtep in each if vtep.family in self.own)

    def device(self, family: int) -> Interface | None:
        """Return the VXLAN device of the family, which flannel names after the VNI."""
        name = vxlan_device(family, self.own[family].vni)
        return next((each for each in self.seen.host.interfaces if each.name == name), None)

    @property
    def announcement_mismatches(self) -> Iterator[OverlayMismatch]:
        """Where the node's device differs from the node's annotations."""
        for family, own in self.own.items():
            part = self.seen.part(f"VXLAN device IPv{family}")
            device = self.device(family)
            if device is None:
                yield OverlayMismatch(part, f"a VXLAN device with VNI {own.vni}", "no such device")
                continue
            local = device.link.vxlan_local or str(own.endpoint)
            is_behind_nat = local != str(own.endpoint) and self._may_be_translated(own, local)
            if device.link.mac != own.mac or not (local == str(own.endpoint) or is_behind_nat):
                yield OverlayMismatch(
                    part, f"{own.mac} at {own.endpoint}", f"{device.link.mac} at {local}"
                )
            elif is_behind_nat and not self._is_known(own.endpoint):
                yield OverlayMismatch(
                    part,
                    f"{own.endpoint}, which the node announces",
                    local,
                    inconclusive="VXLAN endpoints that the node does not have itself: correct only "
                    "behind NAT",
                )

    def _may_be_translated(self, own: Vtep, local: str) -> bool:
        """Whether packets to the announced address can arrive at the device's own address.

        flannel announces `public-ip`, and its device sends from the address of an interface
        (backend/vxlan, ExtAddr and IfaceAddr). They differ behind NAT, and with --public-ip on a
        node with several networks: the kernel receives VXLAN at all addresses.
        """
        is_here = address(local) in self.routes.routing.own
        owner = self.seen.cluster.node_index.by_any_address.get(own.endpoint, self.seen.name)
        return is_here and owner == self.seen.name

    def _is_known(self, endpoint: IPAddress) -> bool:
        """Whether the API, an annotation or an interface shows the address as the node's."""
        overwrite = self.seen.object.metadata.annotations.get(OVERWRITE[endpoint.version], "")
        return (
            endpoint in self.seen.addresses
            or endpoint in self.routes.routing.own
            or endpoint in valid_addresses([overwrite])
        )

    @cached_property
    def _is_as_announced(self) -> bool:
        """Whether the node has exactly the entries that the others announce.

        Nearly every node has, and comparing sets takes a tenth of the time of iterating.
        """
        record = self.seen.host.record
        for family, own in self.own.items():
            device = self.device(family)
            if device is None:
                return False
            at = device.index
            neighbours = {
                (each.address, each.mac)
                for each in record.neighbours
                if each.index == at and each.state == "PERMANENT"
            }
            fdb = {(e.mac, e.destination) for e in record.fdb if e.index == at and e.destination}
            if not self.seen.cluster.node_index.announced[family].is_all_but(own, neighbours, fdb):
                return False
        return True

    @property
    def missing_entries(self) -> Iterator[OverlayMismatch]:
        """Entries for other nodes that are missing or wrong."""
        yield from self._unreadable
        direct = self._direct
        if self._is_as_announced:
            return
        devices = {family: self.device(family) for family in self.own}
        for peer in self.peers:
            if (peer.name, peer.family) in direct:
                continue
            device = devices[peer.family]
            if device is None:
                continue
            mac = self._neighbours.get((device.index, peer.gateway), "")
            if mac != peer.mac:
                yield OverlayMismatch(
                    self.seen.part(f"neighbour {peer.gateway}"),
                    f"{peer.mac}, which node {peer.name} announces",
                    mac or "no entry",
                    (peer.ref,),
                )
            destinations = self._fdb.get((device.index, peer.mac), frozenset())
            if str(peer.endpoint) not in destinations:
                yield OverlayMismatch(
                    self.seen.part(f"FDB {peer.mac}"),
                    f"at {peer.endpoint}, where node {peer.name} is",
                    f"at {', '.join(sorted(destinations))}" if destinations else "no entry",
                    (peer.ref,),
                )

    @property
    def stale_entries(self) -> Iterator[OverlayMismatch]:
        """Entries for no node of the cluster, and second destinations of a MAC."""
        if self._is_as_announced:
            return
        devices = {d.index: d for family in self.own if (d := self.device(family))}
        destinations: dict[str, set[str]] = {}
        for peer in self.peers:
            destinations.setdefault(peer.mac, set()).add(str(peer.endpoint))
        for (index, mac), known in sorted(self._fdb.items()):
            surplus = known - destinations.get(mac, set())
            # A single wrong destination is reported as a missing entry.
            if (
                index in devices
                and surplus
                and (mac not in destinations or known & destinations[mac])
            ):
                yield OverlayMismatch(
                    self.seen.part(f"FDB {mac}"),
                    "only entries for nodes of the cluster",
                    f"at {', '.join(sorted(surplus))}, on {devices[index].name}",
                    inconclusive=self._not_announced(surplus),
                )
        gateways = {peer.gateway for peer in self.peers}
        for (index, where), mac in sorted(self._neighbours.items(), key=str):
            if index in devices and where not in gateways:
                yield OverlayMismatch(
                    self.seen.part(f"neighbour {where}"),
                    "only entries for nodes of the cluster",
                    f"{mac} on {devices[index].name}",
                    inconclusive=self._not_announced(self._fdb.get((index, mac), ())),
                )

    def _not_announced(self, destinations: Iterable[str]) -> str:
        """Why the entries may be right: nodes that have these addresses announce nothing else."""
        known = self.seen.cluster.node_index.without_vteps
        of_nodes = [address(each) in known for each in destinations]
        return NOT_ANNOUNCED if of_nodes and all(of_nodes) else ""

    @property
    def _unreadable(self) -> Iterator[OverlayMismatch]:
        """Other nodes whose annotations cannot be parsed."""
        for node in self.seen.cluster.node_index.unreadable_vteps:
            if node.metadata.name != self.seen.name:
                yield OverlayMismatch(
                    self.seen.part(f"entries for node {node.metadata.name}"),
                    "those that the node announces",
                    "annotations of flannel that cannot be parsed",
                    (node_ref(node),),
                    inconclusive="nodes whose annotations of flannel cannot be parsed",
                )

    @property
    def _direct(self) -> Set[tuple[str, int]]:
        """Peers that are not reached through the tunnel: DirectRouting, in the same subnet."""
        return {
            (peer.node.metadata.name, peer.to.family)
            for peer in self.routes.peer_routes
            if ((device := peer.device) is None or device.link.kind != "vxlan") and peer.is_right
        }

    @cached_property
    def _neighbours(self) -> Mapping[tuple[int, IPAddress], str]:
        """The MACs of permanent neighbour entries, by (device, address)."""
        return {
            (each.index, address(each.address)): each.mac
            for each in self.seen.host.record.neighbours
            if each.state == "PERMANENT"
        }

    @cached_property
    def _fdb(self) -> Mapping[tuple[int, str], frozenset[str]]:
        """The destinations of FDB entries, by (device, MAC)."""
        found: dict[tuple[int, str], set[str]] = {}
        for each in self.seen.host.record.fdb:
            if each.destination:
                found.setdefault((each.index, each.mac), set()).add(each.destination)
        return {key: frozenset(destinations) for key, destinations in found.items()}

    @property
    def mtu_excess(self) -> Iterator[OverlayMismatch]:
        """Where encapsulated packets can exceed the MTU of the device below."""
        for family, own in self.own.items():
            device = self.device(family)
            if device is None:
                continue
            below = self._below(own, device)
            if below is None:
                yield self._unknown_below(device)
                continue
            most = below.mtu - OVERHEAD[own.endpoint.version]
            if device.mtu > most:
                yield OverlayMismatch(
                    self.seen.part(device.name),
                    f"at most {most} bytes: {below.name} has MTU {below.mtu}",
                    f"{device.mtu} bytes",
                )
        # flannel gives pods the MTU of its IPv4 device. Where the device of the other family
        # has a lower one, the node sends Packet Too Big to the pods.
        widest = max((each.mtu for each in map(self.device, self.own) if each), default=0)
        for pod, netns in self.namespaces.pods_with_netns:
            inner = netns.primary
            if inner and widest and inner.mtu > widest:
                yield OverlayMismatch(
                    pod.ref, f"at most {widest} bytes on eth0", f"{inner.mtu} bytes"
                )

    def _below(self, own: Vtep, device: Interface) -> Interface | None:
        """Return the device with the tunnel's local address, otherwise that of its packets.

        Behind NAT no interface has the announced address.
        """
        local = device.link.vxlan_local
        for known in [address(local), own.endpoint] if local else [own.endpoint]:
            for each in self.seen.host.interfaces:
                if known in each.addresses:
                    return each
        for peer in self.peers:
            route = self.routes.routing.route_to(peer.endpoint)
            if peer.family == own.family and route is not None:
                return self.routes.routing.device_of(route)
        return None

    def _unknown_below(self, device: Interface) -> OverlayMismatch:
        return OverlayMismatch(
            self.seen.part(device.name),
            "at most the MTU of the device below, less the VXLAN header",
            f"{device.mtu} bytes",
            inconclusive="tunnels whose device below is not known",
        )
