"""The network namespaces that packets pass, and which device leads to which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from msgspec import structs

from wirecheck.addresses import IPAddress, canonical, network
from wirecheck.api_index.pod import Pod
from wirecheck.node.cilium_addresses import CiliumAddresses
from wirecheck.node.cilium_services import CiliumServices
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.node.ebpf_map_usage import EbpfMapUsage
from wirecheck.node.netns import Interface, Netns
from wirecheck.node.nftables import table_names
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.pod_programs import PodPrograms
from wirecheck.node.routing import Routing, destination_of
from wirecheck.node.seen import NodeSeen
from wirecheck.paths.hooks import Hooks
from wirecheck.paths.link_tables import LinkTables
from wirecheck.paths.pod_hooks import PodHooks
from wirecheck.paths.virtual_servers import VirtualServers
from wirecheck.policy.map_enforcer import MapEnforcer
from wirecheck.snapshot.netns import Link, Route

THE_NODE = "the node"


@dataclass(frozen=True, eq=False)
class Machine:
    """One node that was visited, with the parts that decide about packets."""

    seen: NodeSeen
    namespaces: PodNamespaces
    hooks: Hooks

    @cached_property
    def cilium(self) -> CiliumServices:
        """What Cilium's eBPF maps of the node do with connections to Services."""
        return CiliumServices(self.seen, PodPrograms(self.seen, self.namespaces))

    @cached_property
    def policy_maps(self) -> MapEnforcer:
        """What Cilium's eBPF maps of the node do with connections of its pods."""
        usage = EbpfMapUsage(self.seen, self.cilium)
        return MapEnforcer(self.seen, CiliumAddresses(self.seen, usage, self.namespaces))

    @cached_property
    def virtual_servers(self) -> VirtualServers:
        """The virtual servers of IPVS."""
        return VirtualServers(self.seen)

    @cached_property
    def places(self) -> Mapping[int, Place]:
        """The netns of the node by inode; its own is the first."""
        return {each.inode: Place(self, Netns(each)) for each in self.seen.facts.namespaces}

    @cached_property
    def host(self) -> Place:
        """The node's own netns."""
        return self.places[self.seen.host.inode]

    @cached_property
    def by_nsid(self) -> Mapping[int, Place]:
        """The other netns by their number in the node's own."""
        return {e.netns.nsid: e for e in self.places.values() if e.netns.nsid is not None}

    @cached_property
    def pods(self) -> Mapping[int, str]:
        """Names of pods by the inode of their netns."""
        found: dict[int, str] = {}
        for pod in self.seen.pods:
            netns = self.namespaces.netns_of(pod)
            if netns is not None:
                found[netns.inode] = f"pod {pod.namespace}/{pod.name}"
        return found

    def release(self) -> None:
        """Part from its places, which refer to it: their circle would keep the node in memory."""
        for name in ("places", "host", "by_nsid"):
            vars(self).pop(name, None)


@dataclass(frozen=True, eq=False)
class Place:
    """One network namespace of a node."""

    machine: Machine = field(repr=False)
    netns: Netns

    @property
    def node(self) -> str:
        return self.machine.seen.name

    @property
    def key(self) -> tuple[str, int]:
        """Equal for the same netns only."""
        return self.node, self.netns.inode

    @cached_property
    def is_host(self) -> bool:
        return self.netns.inode == self.machine.seen.host.inode

    @cached_property
    def name(self) -> str:
        """`the node`, `pod shop/web`, or `netns 4026532` of neither."""
        if self.is_host:
            return THE_NODE
        return self.machine.pods.get(self.netns.inode, f"netns {self.netns.inode}")

    @cached_property
    def hooks(self) -> Hooks | PodHooks:
        """The rules that packets meet in this netns."""
        if self.is_host:
            return self.machine.hooks
        return PodHooks(self.netns.record, self.machine.seen.cluster.readers)

    @cached_property
    def link_tables(self) -> LinkTables:
        """The rules that frames and ARP meet in this netns."""
        seen, record = self.machine.seen, self.netns.record
        commands = seen.facts.commands if self.is_host else record.listings
        names = table_names(seen) if self.is_host else record.filters or ()
        where = f"on {self.node}" if self.is_host else f"in {self.name} on {self.node}"
        return LinkTables(commands, tuple(names), where, seen.cluster.readers)

    @cached_property
    def routing(self) -> Routing:
        """The routes, those of the type local included."""
        record = self.netns.record
        if not record.local_routes:
            return Routing(self.netns)
        return Routing(Netns(structs.replace(record, routes=record.routes + record.local_routes)))

    @cached_property
    def links(self) -> Mapping[int, Interface]:
        """All devices by index, lo included."""
        record = self.netns.record
        return {
            link.index: self.netns.by_index.get(link.index) or _loopback(link)
            for link in record.links
        }

    @cached_property
    def loopback(self) -> Interface | None:
        return next((e for e in self.links.values() if "LOOPBACK" in e.link.flags), None)

    def ports_of(self, bridge: Interface) -> Iterator[Interface]:
        """The ports of a bridge of this netns."""
        return (e for e in self.netns.interfaces if e.link.master == bridge.index)

    def has(self, where: IPAddress) -> bool:
        """Whether the address is one of the netns' own (table local)."""
        return where in self.routing.own or where.is_loopback or self.local_route(where) is not None

    def local_route(self, where: IPAddress) -> Route | None:
        """A route of the type local for an address that no device of the netns has."""
        for each in self.netns.record.local_routes:
            if each.family == where.version and where in network(destination_of(each)):
                return each
        return None

    def peer_of(self, device: Interface) -> tuple[Place, Interface] | None:
        """The other end of a veth pair; None if it is outside of what was seen."""
        other = self._peer_netns(device)
        if other is None or device.link.peer_index is None:
            return None
        found = other.links.get(device.link.peer_index)
        return (other, found) if found is not None and found.is_paired else None

    def _peer_netns(self, device: Interface) -> Place | None:
        nsid = device.link.peer_nsid
        if nsid is None:
            return self  # Both ends are in one netns.
        if self.is_host:
            return self.machine.by_nsid.get(nsid)
        # A pod numbers the node's netns as it likes. The node's end names the pod's.
        host = self.machine.host
        back = host.links.get(device.link.peer_index or 0)
        if back is None or not back.is_paired or back.link.peer_nsid != self.netns.nsid:
            return None
        return host if back.link.peer_index == device.index else None

    def neighbour(self, device: Interface, where: IPAddress) -> tuple[str, str] | None:
        """MAC and state of the neighbour entry for an address on a device."""
        return self._neighbours.get((device.index, str(where)))

    @cached_property
    def _neighbours(self) -> Mapping[tuple[int, str], tuple[str, str]]:
        """By the address as text: there is one for each node, and address objects hash slowly."""
        return {
            (each.index, canonical(each.address)): (each.mac, each.state)
            for each in self.netns.record.neighbours
        }


def _loopback(link: Link) -> Interface:
    return Interface(link, frozenset(), frozenset())


Visited = Callable[[str], "Machine | str"]
"""The machine of a node, or why its network is not known."""


@dataclass(frozen=True, eq=False)
class World:
    """The cluster, whose nodes are read when a packet comes to them."""

    cluster: ClusterSeen
    visited: Visited

    def node_with(self, where: IPAddress) -> str:
        """The node that has the address in the API; empty if none has."""
        found = self.cluster.node_index.by_any_address.get(where, "")
        return found or self.cluster.node_index.only_node_with(where)

    def pod_with(self, where: IPAddress) -> Pod | None:
        """The running pod that has the address, if only one has."""
        found = self.cluster.pod_index.by_address.get(where, ())
        own = [each for each in found if not each.on_host_network]
        return own[0] if len(own) == 1 else None

    def place_of(self, pod: Pod) -> Place | str:
        """The pod's netns, or why it is not known."""
        machine = self.visited(pod.node_name)
        if isinstance(machine, str):
            return machine
        if pod.on_host_network:
            return machine.host
        if why := machine.namespaces.why_hidden(pod):
            return why
        netns = machine.namespaces.netns_of(pod)
        if netns is None:
            return machine.namespaces.why_no_netns(pod)
        return netns.record.error or machine.places[netns.inode]
