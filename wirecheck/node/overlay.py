"""flannel's VXLAN overlay on one node: its device, and its entries for the other nodes.

What the nodes announce, and which entries follow from it, is in `api_index.vteps`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.vteps import Vtep, vteps_of
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.network.plugins.flannel import vxlan_device
from wirecheck.node.netns import Interface
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen

OVERHEAD = {4: 50, 6: 70}
"""Bytes that VXLAN adds to a packet of the inner network: outer IP, UDP, VXLAN, inner Ethernet."""


@dataclass(frozen=True)
class OverlayMismatch:
    """Something about another node that this one must know, or knows without reason."""

    ref: Ref
    expected: str
    found: str
    concerns: tuple[Ref, ...] = ()


@dataclass(frozen=True)
class Overlay:
    """The overlay as one node sees it."""

    seen: NodeSeen
    namespaces: PodNamespaces
    routes: NodeRoutes

    @cached_property
    def own(self) -> Mapping[int, Vtep]:
        """What the node announces of itself, by family. Raises NotApplicable without VXLAN."""
        found = {each.family: each for each in vteps_of(self.seen.object)}
        if not found:
            raise NotApplicable("no annotation of flannel says that the node is on a VXLAN overlay")
        return found

    @cached_property
    def peers(self) -> tuple[Vtep, ...]:
        """The ends of the other nodes, in the families that this one has an end in."""
        others = (
            each for n, each in self.seen.cluster.node_index.vteps.items() if n != self.seen.name
        )
        return tuple(vtep for each in others for vtep in each if vtep.family in self.own)

    def device(self, family: int) -> Interface | None:
        """The VXLAN device of the family, which flannel names after the network's number."""
        name = vxlan_device(family, self.own[family].vni)
        return next((each for each in self.seen.host.interfaces if each.name == name), None)

    @property
    def announcement_mismatches(self) -> Iterator[OverlayMismatch]:
        """Where the node's device is not as the node announces it to the others."""
        for family, own in self.own.items():
            part = self.seen.part(f"VXLAN device IPv{family}")
            device = self.device(family)
            if device is None:
                yield OverlayMismatch(part, f"a device for network {own.vni}", "none")
                continue
            said = (own.mac, str(own.endpoint))
            local = device.link.vxlan_local or str(own.endpoint)
            if (is_ := (device.link.mac, local)) != said:
                yield OverlayMismatch(part, f"{said[0]} at {said[1]}", f"{is_[0]} at {is_[1]}")
            if not device.is_up:
                yield OverlayMismatch(part, "UP", f"{device.name} is DOWN")

    @cached_property
    def _is_as_announced(self) -> bool:
        """Whether the node has just the entries that the others announce.

        Nearly every node has, and comparing whole sets takes a tenth of going through them.
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
        """What the node does not know of the others, or knows wrongly."""
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
            places = self._fdb.get((device.index, peer.mac), frozenset())
            if str(peer.endpoint) not in places:
                yield OverlayMismatch(
                    self.seen.part(f"FDB {peer.mac}"),
                    f"at {peer.endpoint}, where node {peer.name} is",
                    f"at {', '.join(sorted(places))}" if places else "no entry",
                    (peer.ref,),
                )

    @property
    def stale_entries(self) -> Iterator[OverlayMismatch]:
        """Entries about nobody in the cluster, or that lead to a second place."""
        if self._is_as_announced:
            return
        devices = {d.index: d for family in self.own if (d := self.device(family))}
        places: dict[str, set[str]] = {}
        for peer in self.peers:
            places.setdefault(peer.mac, set()).add(str(peer.endpoint))
        for (index, mac), known in sorted(self._fdb.items()):
            surplus = known - places.get(mac, set())
            # The one wrong place of a node is told where its right one is missed.
            if index in devices and surplus and (mac not in places or known & places[mac]):
                yield OverlayMismatch(
                    self.seen.part(f"FDB {mac}"),
                    "only entries about nodes of the cluster",
                    f"at {', '.join(sorted(surplus))}, on {devices[index].name}",
                )
        gateways = {peer.gateway for peer in self.peers}
        for (index, where), mac in sorted(self._neighbours.items(), key=str):
            if index in devices and where not in gateways:
                yield OverlayMismatch(
                    self.seen.part(f"neighbour {where}"),
                    "only entries about nodes of the cluster",
                    f"{mac} on {devices[index].name}",
                )

    @property
    def _direct(self) -> Set[tuple[str, int]]:
        """Peers that are not reached through the tunnel: with DirectRouting those near by."""
        return {
            (way.peer.metadata.name, way.to.family)
            for way in self.routes.peer_routes
            if way.is_right and (way.device is None or way.device.link.kind != "vxlan")
        }

    @cached_property
    def _neighbours(self) -> Mapping[tuple[int, IPAddress], str]:
        """MACs by (device, address) of the entries that something has set for good."""
        return {
            (each.index, address(each.address)): each.mac
            for each in self.seen.host.record.neighbours
            if each.state == "PERMANENT"
        }

    @cached_property
    def _fdb(self) -> Mapping[tuple[int, str], frozenset[str]]:
        """Destinations by (device, MAC)."""
        found: dict[tuple[int, str], set[str]] = {}
        for each in self.seen.host.record.fdb:
            if each.destination:
                found.setdefault((each.index, each.mac), set()).add(each.destination)
        return {key: frozenset(places) for key, places in found.items()}

    @property
    def mtu_excess(self) -> Iterator[OverlayMismatch]:
        """Where packets of the overlay are larger, wrapped, than the wire below takes."""
        for family, own in self.own.items():
            device = self.device(family)
            below = self._below(own)
            if device is None or below is None:
                continue
            most = below.mtu - OVERHEAD[own.endpoint.version]
            if device.mtu > most:
                yield OverlayMismatch(
                    self.seen.part(device.name),
                    f"at most {most} bytes: {below.name} takes {below.mtu}",
                    f"{device.mtu} bytes",
                )
        # Of a family with a narrower device the node itself tells pods, by Packet Too Big:
        # flannel gives pods of both families the MTU of its IPv4 device.
        widest = max((each.mtu for each in map(self.device, self.own) if each), default=0)
        for pod, netns in self.namespaces.pods_with_netns:
            inner = netns.primary
            if inner and widest and inner.mtu > widest:
                yield OverlayMismatch(
                    pod.ref, f"at most {widest} bytes on eth0", f"{inner.mtu} bytes"
                )

    def _below(self, own: Vtep) -> Interface | None:
        """The device that has the address from which the tunnel's packets leave."""
        local = own.endpoint
        return next((e for e in self.seen.host.interfaces if local in e.addresses), None)
