"""Addresses on a node's interfaces that belong to another node or to a Service.

The kernel delivers packets to its own addresses locally. A node with the address of another one
therefore answers in its place, and nothing on it reaches the other node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, contains
from wirecheck.api_index.service_addresses import ServiceAddress
from wirecheck.catalogue.findings import Ref
from wirecheck.node.netns import Interface
from wirecheck.node.seen import NodeSeen

OF_PROXIES = frozenset({"kube-ipvs0", "kube-dummy-if"})
"""On these kube-proxy in IPVS mode and kube-router have the addresses of all Services."""


@dataclass(frozen=True)
class ForeignAddress:
    """An address that must not be on the interface."""

    ref: Ref
    owner: str
    """Whose address it is: `Node n2`, `cluster IP of Service shop/web`."""
    device: str
    cause: ServiceAddress | None = None
    """The Service that made the proxy bind it, if one did."""
    other: Ref | None = None
    """The node that it belongs to."""


@dataclass(frozen=True)
class ForeignAddresses:
    """The addresses of one node's own netns, without those of loopback interfaces."""

    seen: NodeSeen

    @property
    def found(self) -> Iterator[ForeignAddress]:
        """Addresses of other nodes, of their pod ranges, and of Services."""
        for interface in self.seen.host.interfaces:
            for each in sorted(self._candidates(interface), key=lambda a: (a.version, int(a))):
                is_candidate = not _is_of_link(each) and each not in self._own
                if is_candidate and (found := self._of(interface, each)):
                    yield found

    def _candidates(self, interface: Interface) -> frozenset[IPAddress]:
        """A proxy's interface has thousands of cluster IPs, which belong there."""
        if interface.name not in OF_PROXIES:
            return interface.addresses
        return interface.addresses - self.seen.cluster.service_addresses.cluster_ips

    def _of(self, interface: Interface, where: IPAddress) -> ForeignAddress | None:
        service = self.seen.cluster.service_addresses.by_address.get(where)
        is_proxys = interface.name in OF_PROXIES
        cause = service if is_proxys else None
        ref = self.seen.part(f"{where} on {interface.name}")
        if node := self._node_with(where, interface):
            other = Ref("Node", node)
            return ForeignAddress(ref, f"Node {node}", interface.name, cause, other)
        if is_proxys and where in self.seen.cluster.destinations.api_servers:
            return ForeignAddress(ref, "the API server", interface.name, cause)
        if service and service.is_cluster_ip and not (is_proxys or interface.link.kind == "dummy"):
            return ForeignAddress(ref, str(service), interface.name)
        return None

    def _node_with(self, where: IPAddress, interface: Interface) -> str:
        """The name of the other node that the address belongs to; empty if there is none."""
        nodes = self.seen.cluster.node_index
        if name := nodes.only_node_with(where):
            return name if name != self.seen.name else ""
        if not (interface.is_bridge or interface.name in OF_PROXIES):
            return ""
        if contains(self.seen.pod_ranges, where):
            return ""
        found = nodes.pod_range_with(where)
        is_in_use = found and self.seen.cluster.uses_node_ranges_except(self.seen.name)
        return found.node.metadata.name if found and is_in_use else ""

    @cached_property
    def _own(self) -> frozenset[IPAddress]:
        return self.seen.cluster.node_index.announced_by.get(self.seen.name, frozenset())

    @cached_property
    def single(self) -> Mapping[IPAddress, str]:
        """Addresses that only one node may have at a time, with their interfaces.

        These are addresses of Services, and whatever the interface with the node's InternalIP has
        besides, as it is the address of a control plane. Both must be in a network of that
        interface: neighbours then resolve them by ARP or NDP, and two nodes would answer.
        """
        return {
            each: interface.name
            for interface in self.seen.host.interfaces
            if not (interface.link.kind == "dummy" or interface.name in OF_PROXIES)
            for each in interface.addresses
            if each not in self._own and not _is_of_link(each) and self._is_single(interface, each)
        }

    def _is_single(self, interface: Interface, where: IPAddress) -> bool:
        connected = [each for each in interface.networks if each.num_addresses > 1]
        if not contains(connected, where):
            return False
        if where in self.seen.cluster.service_addresses.by_address:
            return True
        shared = [each for each in connected if contains([each], where)]
        return any(contains(shared, own) for own in interface.addresses & self._own)


def _is_of_link(where: IPAddress) -> bool:
    """Whether the address means something else on every link or host."""
    return where.is_link_local or where.is_loopback or where.is_unspecified
