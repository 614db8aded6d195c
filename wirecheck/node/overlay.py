"""flannel's VXLAN overlay: what nodes announce in the API, and what one node knows of the others.

flannel writes, for each other node, a permanent neighbour (the first address of its range, with
the MAC of its VXLAN device) and an FDB entry (that MAC, at that node's own address).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from wirecheck.addresses import IPAddress, address, network
from wirecheck.api_index.pod_ranges import BACKEND
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.node.netns import Interface
from wirecheck.snapshot.objects.node import NodeObject

if TYPE_CHECKING:
    from wirecheck.model.node import Node

PREFIX = "flannel.alpha.coreos.com/"
ANNOTATIONS = {4: ("backend-data", "public-ip"), 6: ("backend-v6-data", "public-ipv6")}
OVERHEAD = {4: 50, 6: 70}
"""Bytes that VXLAN adds to a packet of the inner network: outer IP, UDP, VXLAN, inner Ethernet."""


Pair = tuple[str, str]


@dataclass(frozen=True)
class Vtep:
    """A node's end of the overlay in one family, as its annotations announce it."""

    node: NodeObject
    family: int
    vni: int
    mac: str
    endpoint: IPAddress
    """Where the other nodes are to send to."""
    gateway: IPAddress
    """The address by which routes name it: the first of the node's range."""

    @property
    def neighbour(self) -> Pair:
        """The neighbour entry that every other node has of it."""
        return str(self.gateway), self.mac

    @property
    def fdb(self) -> Pair:
        """The FDB entry that every other node has of it."""
        return self.mac, str(self.endpoint)

    @property
    def name(self) -> str:
        return self.node.metadata.name

    @property
    def ref(self) -> Ref:
        return Ref("Node", self.name, uid=self.node.metadata.uid)


def vteps_of(node: NodeObject) -> Iterator[Vtep]:
    """The ends that a node announces. Raises FactMissingError where they are not understood."""
    notes = node.metadata.annotations
    if notes.get(BACKEND) != "vxlan":
        return
    ranges = [network(each) for each in filter(None, [node.spec.pod_cidr, *node.spec.pod_cidrs])]
    for family, (data, endpoint) in ANNOTATIONS.items():
        range_ = next((each for each in ranges if each.version == family), None)
        text = notes.get(PREFIX + data, "")
        if range_ is None or text in ("", "null") or PREFIX + endpoint not in notes:
            continue
        try:
            announced = json.loads(text)
            yield Vtep(
                node,
                family,
                int(announced["VNI"]),
                str(announced["VtepMAC"]).lower(),
                address(notes[PREFIX + endpoint]),
                range_.network_address,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise FactMissingError(
                f"Annotation {PREFIX}{data} of node {node.metadata.name} is not understood: "
                f"{text[:200]!r}"
            ) from error


@dataclass(frozen=True)
class Announced:
    """The entries that a node with all others in one family has, and its own ones."""

    neighbours: frozenset[Pair]
    fdb: frozenset[Pair]
    nodes: int

    @classmethod
    def by(cls, vteps: Iterable[Vtep]) -> Announced:
        """What all of one family announce."""
        vteps = tuple(vteps)
        fdb = frozenset(each.fdb for each in vteps)
        return cls(frozenset(each.neighbour for each in vteps), fdb, len(vteps))

    def is_all_but(self, own: Vtep, neighbours: Set[Pair], fdb: Set[Pair]) -> bool:
        """Whether these are the entries about all others, each once, and none beside them."""
        others = self.nodes - 1
        return (
            len(neighbours) == len(fdb) == others
            and len(self.neighbours) == len(self.fdb) == self.nodes
            and own.neighbour not in neighbours
            and own.fdb not in fdb
            and neighbours <= self.neighbours
            and fdb <= self.fdb
        )


@dataclass(frozen=True)
class Entry:
    """Something about another node that this one must know, or knows without reason."""

    ref: Ref
    expected: str
    found: str
    concerns: tuple[Ref, ...] = ()


@dataclass(frozen=True)
class Overlay:
    """The overlay as one node sees it."""

    node: Node

    @cached_property
    def own(self) -> Mapping[int, Vtep]:
        """What the node announces of itself, by family. Raises NotApplicable without VXLAN."""
        found = {each.family: each for each in vteps_of(self.node.object)}
        if not found:
            raise NotApplicable("no annotation of flannel says that the node is on a VXLAN overlay")
        return found

    @cached_property
    def peers(self) -> tuple[Vtep, ...]:
        """The ends of the other nodes, in the families that this one has an end in."""
        others = (each for n, each in self.node.cluster.vteps.items() if n != self.node.name)
        return tuple(vtep for each in others for vtep in each if vtep.family in self.own)

    def device(self, family: int) -> Interface | None:
        """The VXLAN device of the family, which flannel names after the network's number."""
        name = f"flannel{'-v6' if family == 6 else ''}.{self.own[family].vni}"
        return next((each for each in self.node.host.interfaces if each.name == name), None)

    @property
    def misannounced(self) -> Iterator[Entry]:
        """Where the node's device is not as the node announces it to the others."""
        for family, own in self.own.items():
            part = self.node.part(f"VXLAN device IPv{family}")
            device = self.device(family)
            if device is None:
                yield Entry(part, f"a device for network {own.vni}", "none")
                continue
            said = (own.mac, str(own.endpoint))
            local = device.link.vxlan_local or str(own.endpoint)
            if (is_ := (device.link.mac, local)) != said:
                yield Entry(part, f"{said[0]} at {said[1]}", f"{is_[0]} at {is_[1]}")
            if not device.is_up:
                yield Entry(part, "UP", f"{device.name} is DOWN")

    @cached_property
    def _is_as_announced(self) -> bool:
        """Whether the node has just the entries that the others announce.

        Nearly every node has, and comparing whole sets takes a tenth of going through them.
        """
        record = self.node.host.record
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
            if not self.node.cluster.announced[family].is_all_but(own, neighbours, fdb):
                return False
        return True

    @property
    def unknown(self) -> Iterator[Entry]:
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
                yield Entry(
                    self.node.part(f"neighbour {peer.gateway}"),
                    f"{peer.mac}, which node {peer.name} announces",
                    mac or "no entry",
                    (peer.ref,),
                )
            places = self._fdb.get((device.index, peer.mac), frozenset())
            if str(peer.endpoint) not in places:
                yield Entry(
                    self.node.part(f"FDB {peer.mac}"),
                    f"at {peer.endpoint}, where node {peer.name} is",
                    f"at {', '.join(sorted(places))}" if places else "no entry",
                    (peer.ref,),
                )

    @property
    def needless(self) -> Iterator[Entry]:
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
                yield Entry(
                    self.node.part(f"FDB {mac}"),
                    "only entries about nodes of the cluster",
                    f"at {', '.join(sorted(surplus))}, on {devices[index].name}",
                )
        gateways = {peer.gateway for peer in self.peers}
        for (index, where), mac in sorted(self._neighbours.items(), key=str):
            if index in devices and where not in gateways:
                yield Entry(
                    self.node.part(f"neighbour {where}"),
                    "only entries about nodes of the cluster",
                    f"{mac} on {devices[index].name}",
                )

    @property
    def _direct(self) -> Set[tuple[str, int]]:
        """Peers that are not reached through the tunnel: with DirectRouting those near by."""
        return {
            (way.peer.metadata.name, way.to.family)
            for way in self.node.routes.ways
            if way.is_right and (way.device is None or way.device.link.kind != "vxlan")
        }

    @cached_property
    def _neighbours(self) -> Mapping[tuple[int, IPAddress], str]:
        """MACs by (device, address) of the entries that something has set for good."""
        return {
            (each.index, address(each.address)): each.mac
            for each in self.node.host.record.neighbours
            if each.state == "PERMANENT"
        }

    @cached_property
    def _fdb(self) -> Mapping[tuple[int, str], frozenset[str]]:
        """Destinations by (device, MAC)."""
        found: dict[tuple[int, str], set[str]] = {}
        for each in self.node.host.record.fdb:
            if each.destination:
                found.setdefault((each.index, each.mac), set()).add(each.destination)
        return {key: frozenset(places) for key, places in found.items()}

    @property
    def mtu_excess(self) -> Iterator[Entry]:
        """Where packets of the overlay are larger, wrapped, than the wire below takes."""
        for family, own in self.own.items():
            device = self.device(family)
            below = self._below(own)
            if device is None or below is None:
                continue
            most = below.mtu - OVERHEAD[own.endpoint.version]
            if device.mtu > most:
                yield Entry(
                    self.node.part(device.name),
                    f"at most {most} bytes: {below.name} takes {below.mtu}",
                    f"{device.mtu} bytes",
                )
        # Of a family with a narrower device the node itself tells pods, by Packet Too Big:
        # flannel gives pods of both families the MTU of its IPv4 device.
        widest = max((each.mtu for each in map(self.device, self.own) if each), default=0)
        for pod, netns in self.node.wired_pods:
            inner = netns.primary
            if inner and widest and inner.mtu > widest:
                yield Entry(pod.ref, f"at most {widest} bytes on eth0", f"{inner.mtu} bytes")

    def _below(self, own: Vtep) -> Interface | None:
        """The device that has the address from which the tunnel's packets leave."""
        local = own.endpoint
        return next((e for e in self.node.host.interfaces if local in e.addresses), None)
