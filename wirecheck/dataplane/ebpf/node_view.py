"""What one node's Cilium knows about itself, for the expected and the read side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wirecheck.addresses import IPAddress, canonical
from wirecheck.api_index.node_addresses import node_ips
from wirecheck.dataplane.clients import everything
from wirecheck.dataplane.ebpf.maps import CiliumMaps, Flags
from wirecheck.dataplane.table import Client
from wirecheck.snapshot.objects.node import NodeObject

ZONE_LABEL = "topology.kubernetes.io/zone"
NODE_PORTS = range(30000, 32768)
"""Cilium's node-port-range and the API server's, unless configured otherwise."""
OUTSIDE = {family: everything(family) for family in (4, 6)}
"""Source ranges are checked for packets that come in from the network, whoever sent them."""


@dataclass(frozen=True)
class CiliumNode:
    """A node, and how Cilium is configured there."""

    name: str
    addresses: Mapping[int, str]
    """The node's first address of each family, where node ports are compared."""
    local_addresses: frozenset[str]
    """All addresses of the node."""
    replaces_kube_proxy: bool = True
    """Otherwise it only forwards what its pods send to cluster IPs and external IPs."""
    node_port_addresses: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """Where node ports are open, by family, in addition to the entries for any address."""
    families: frozenset[int] = frozenset({4, 6})
    """Those that Cilium forwards."""
    zone: str = ""
    follows_topology: bool | None = None
    """Whether traffic distribution counts (`enable-service-topology`); None if that is not known.
    """

    @property
    def kinds(self) -> tuple[Client, ...]:
        """The clients whose connections meet the maps of this node.

        Pods of other nodes are clients of their own node: it translates what they send.
        """
        if self.replaces_kube_proxy:
            return Client.POD, Client.NODE, Client.OUTSIDE
        return (Client.POD,)

    def frontend_address(self, family: int, address: str) -> str:
        """Empty for the node's first address: it stands for all of a node port."""
        return "" if address == self.addresses.get(family) else address


def local_addresses(node: NodeObject, host_addresses: Iterable[str]) -> frozenset[str]:
    """All addresses of a node: of its interfaces, and those that its object shows."""
    return frozenset({*map(canonical, host_addresses), *map(str, node_ips(node))})


def cilium_node(
    node: NodeObject,
    host_addresses: Iterable[str],
    maps: CiliumMaps,
    *,
    replaces_kube_proxy: bool,
    follows_topology: bool | None = None,
) -> CiliumNode:
    """The node as Cilium sees it; `host_addresses` are those of its interfaces.

    Cilium chooses the addresses for node ports by its devices. Each one that has any node port
    must have all of them; without any, it is the node's first address.
    """
    first: dict[int, IPAddress] = {}
    for each in node_ips(node):
        first.setdefault(each.version, each)
    addresses = {family: str(each) for family, each in first.items()}
    local = local_addresses(node, host_addresses)
    opened: dict[int, set[str]] = {4: set(), 6: set()}
    for place, entry in maps.frontends.items():
        if entry.flags & Flags.NODE_PORT and place.address in local:
            opened[place.family].add(place.address)
    return CiliumNode(
        name=node.metadata.name,
        addresses=addresses,
        local_addresses=local,
        replaces_kube_proxy=replaces_kube_proxy,
        node_port_addresses={
            family: frozenset(found or filter(None, [addresses.get(family, "")]))
            for family, found in opened.items()
        },
        families=frozenset(maps.families),
        zone=node.metadata.labels.get(ZONE_LABEL, ""),
        follows_topology=follows_topology,
    )
