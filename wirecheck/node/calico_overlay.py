"""Calico's VXLAN overlay on one node: its device, and its entries for the other nodes.

felix writes, for each other node, a permanent neighbour (the address of that node's tunnel device,
with its MAC) and an FDB entry (that MAC, at the node's own address). Which of them packets need is
decided by the node's routes: each one through the device names the tunnel of a node as its gateway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.calico import CalicoVtep, CalicoVteps, derived_mac
from wirecheck.api_index.vteps import Vtep
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.network.plugins.calico import PLUGIN, VXLAN_DEVICES
from wirecheck.node.netns import Interface
from wirecheck.node.overlay import Overlay, OverlayMismatch
from wirecheck.node.routing import destination_of
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.netns import Route


def is_in_force(seen: NodeSeen) -> bool:
    """Whether Calico joins the node to the others by VXLAN, and not flannel as with Canal."""
    namespaces = seen.document.namespaces if seen.document else []
    links = namespaces[0].links if namespaces else []
    has_tunnel = any(each.name in VXLAN_DEVICES.values() for each in links)
    return has_tunnel and seen.cni.name == PLUGIN.name


@dataclass(frozen=True)
class Tunnelled:
    """The routes through the VXLAN device with one gateway, and the node that they lead to."""

    gateway: IPAddress
    device: Interface
    peer: CalicoVtep | None


@dataclass(frozen=True)
class CalicoOverlay(Overlay):
    """The node's own tunnel device, and its entries for those of the other nodes."""

    @cached_property
    def own(self) -> Mapping[int, Vtep]:
        """The node's own tunnel endpoints, by family. Raises NotApplicable without VXLAN."""
        found = {}
        for family in VXLAN_DEVICES:
            device, vtep = self.device(family), self._own_vtep(family)
            endpoint = next(iter(vtep.endpoints), None)
            if device is not None and endpoint is not None:
                gateway = next(iter(device.addresses), endpoint)
                vni = device.link.vxlan_id or 0
                found[family] = Vtep(self.seen.object, family, vni, vtep.mac, endpoint, gateway)
        if not found:
            raise NotApplicable(f"the node has no VXLAN device of {PLUGIN}")
        return found

    def _own_vtep(self, family: int) -> CalicoVtep:
        return CalicoVtep(self.seen.object, family)

    def _vteps(self, family: int) -> CalicoVteps:
        return self.seen.cluster.node_index.calico[family]

    @cached_property
    def peers(self) -> tuple[Vtep, ...]:
        """None: the entries that packets need follow from the node's routes."""
        return ()

    def device(self, family: int) -> Interface | None:
        """Return the VXLAN device of the family."""
        name = VXLAN_DEVICES[family]
        return next((each for each in self.seen.host.interfaces if each.name == name), None)

    @property
    def announcement_mismatches(self) -> Iterator[OverlayMismatch]:
        """Where the node's device differs from what the other nodes expect."""
        for family in self.own:
            device, vtep = self.device(family), self._own_vtep(family)
            if device is None:
                continue
            part = self.seen.part(f"VXLAN device IPv{family}")
            local = device.link.vxlan_local
            where = vtep.endpoints
            if vtep.announced_mac not in ("", device.link.mac):
                wanted = f"MAC {vtep.mac}, to which the other nodes send"
                yield OverlayMismatch(part, wanted, device.link.mac)
            elif local and where and address(local) not in {*where, *self.seen.addresses}:
                yield OverlayMismatch(part, f"a tunnel at {where[0]}", f"at {local}")

    @property
    def missing_entries(self) -> Iterator[OverlayMismatch]:
        """Entries for other nodes that are missing or wrong, as far as routes need them."""
        for each in self._tunnelled:
            mac = self._neighbours.get((each.device.index, each.gateway), "")
            concerns = (each.peer.ref,) if each.peer else ()
            wanted = self._mac_of(each.peer) or mac
            if not mac or mac != wanted:
                yield OverlayMismatch(
                    self.seen.part(f"neighbour {each.gateway}"),
                    f"{wanted or 'an entry'}{_named(', the tunnel of', each.peer)}",
                    mac or "no entry",
                    concerns,
                )
            if wanted:
                yield from self._fdb_mismatch(each, wanted)

    def _fdb_mismatch(self, each: Tunnelled, mac: str) -> Iterator[OverlayMismatch]:
        known = self._fdb.get((each.device.index, mac), frozenset())
        where = [str(e) for e in each.peer.endpoints] if each.peer else []
        if known and (not where or known & {*where}):
            return
        yield OverlayMismatch(
            self.seen.part(f"FDB {mac}"),
            f"at {where[0]}{_named(', where', each.peer)} is" if where else "an entry",
            f"at {', '.join(sorted(known))}" if known else "no entry",
            (each.peer.ref,) if each.peer else (),
        )

    def _mac_of(self, peer: CalicoVtep | None) -> str:
        """The MAC of a peer's tunnel device; empty if it is not known.

        Without an announced MAC it is the derived one, if the node's own device has one of these.
        """
        if peer is None:
            return ""
        device = self.device(peer.family)
        own = derived_mac(self.seen.name, peer.family)
        is_derived = device is not None and device.link.mac == own
        return peer.mac if peer.announced_mac or is_derived else ""

    @cached_property
    def _tunnelled(self) -> tuple[Tunnelled, ...]:
        found: dict[tuple[int, IPAddress], list[Route]] = {}
        for route in self.seen.host.record.routes:
            index = route.index or 0
            if index in self._devices and route.gateway and route.type == "unicast":
                found.setdefault((index, address(route.gateway)), []).append(route)
        tunnelled = []
        for (index, gateway), routes in found.items():
            _, device = self._devices[index]
            tunnelled.append(Tunnelled(gateway, device, self._peer(device, gateway, routes)))
        return tuple(tunnelled)

    @cached_property
    def _devices(self) -> Mapping[int, tuple[int, Interface]]:
        """Family and tunnel device, by the index of the device."""
        devices = {family: self.device(family) for family in self.own}
        return {each.index: (family, each) for family, each in devices.items() if each}

    def _peer(
        self, device: Interface, gateway: IPAddress, routes: list[Route]
    ) -> CalicoVtep | None:
        """The node with a tunnel: by its annotation, by the MAC of the neighbour, or by its pods.

        Pods count only if all of a route's are on one node: a few may have borrowed addresses.
        """
        vteps = self._vteps(gateway.version)
        if known := vteps.by_tunnel.get(gateway):
            return known
        mac = self._neighbours.get((device.index, gateway), "")
        if known := vteps.by_mac.get(mac):
            return known
        index = self.seen.cluster.pod_index
        nodes = {pod.node_name for each in routes for _, pod in index.within(destination_of(each))}
        return vteps.by_name.get(nodes.pop()) if len(nodes) == 1 else None

    @property
    def stale_entries(self) -> Iterator[OverlayMismatch]:
        """FDB entries that lead to no node of the cluster."""
        for (index, mac), known in sorted(self._fdb.items()):
            if index not in self._devices:
                continue
            family, device = self._devices[index]
            nodes = self._vteps(family).by_endpoint
            surplus = {each for each in known if address(each) not in nodes}
            # A single wrong destination of a node is reported as a missing entry.
            if surplus and (mac not in self._vteps(family).by_mac or known - surplus):
                yield OverlayMismatch(
                    self.seen.part(f"FDB {mac}"),
                    "only entries for nodes of the cluster",
                    f"at {', '.join(sorted(surplus))}, on {device.name}",
                )


def _named(words: str, peer: CalicoVtep | None) -> str:
    return f"{words} node {peer.name}" if peer else ""
