"""The nodes' addresses, pod ranges and tunnel endpoints: computed once for all nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress
from wirecheck.api_index.calico import CalicoVteps
from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.node_addresses import all_addresses, node_ips, valid_addresses
from wirecheck.api_index.node_kinds import kind_of
from wirecheck.api_index.pod_ranges import BACKEND, PUBLIC, PodRange, pod_ranges_of
from wirecheck.api_index.vteps import AnnouncedEntries, Vtep, readable_vteps
from wirecheck.snapshot.objects.node import NodeObject

CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
"""Labels of nodes of the control plane."""

CALICO = "projectcalico.org/"
ANNOUNCING = (
    PUBLIC,
    f"{PUBLIC}v6",
    f"{CALICO}IPv4Address",
    f"{CALICO}IPv6Address",
    f"{CALICO}IPv4IPIPTunnelAddr",
    f"{CALICO}IPv4VXLANTunnelAddr",
    f"{CALICO}IPv6VXLANTunnelAddr",
)
"""The annotations in which flannel and Calico announce addresses of a node."""


@dataclass(frozen=True)
class NodeIndex:
    """What each node needs to know about all other nodes."""

    by_name: Mapping[str, NodeObject]

    @cached_property
    def node_ips(self) -> tuple[tuple[IPAddress, str], ...]:
        """Each address at which the cluster reaches a node, with the node's name."""
        return tuple(
            (each, name)
            for name, node in self.by_name.items()
            for each in sorted(node_ips(node), key=str)
        )

    @cached_property
    def by_address(self) -> Mapping[IPAddress, str]:
        """Names of nodes, by each of these addresses."""
        return dict(self.node_ips)

    @cached_property
    def by_any_address(self) -> Mapping[IPAddress, str]:
        """Names of nodes, by each InternalIP and ExternalIP."""
        return {each: name for name, node in self.by_name.items() for each in all_addresses(node)}

    @cached_property
    def announced_by(self) -> Mapping[str, frozenset[IPAddress]]:
        """By name of a node all its addresses: in its status, and those that its plugin announces.

        flannel announces where its tunnel ends, Calico also the address of its tunnel device.
        """
        return {name: frozenset(_announced(node)) for name, node in self.by_name.items()}

    @cached_property
    def _announcing(self) -> Mapping[IPAddress, tuple[str, ...]]:
        found: dict[IPAddress, list[str]] = defaultdict(list)
        for name, own in self.announced_by.items():
            for each in own if _takes_part(self.by_name[name]) else ():
                found[each].append(name)
        return {each: tuple(names) for each, names in found.items()}

    def only_node_with(self, where: IPAddress) -> str:
        """The node with this address; empty if there is none or several, as behind one NAT."""
        names = self._announcing.get(where, ())
        return names[0] if len(names) == 1 else ""

    def pod_range_with(self, where: IPAddress) -> PodRange | None:
        """The range of pod addresses that the address is in."""
        number = int(where)
        return next(
            (
                each
                for each in self.pod_ranges
                if each.family == where.version and each.start <= number <= each.end
            ),
            None,
        )

    @cached_property
    def pod_ranges(self) -> tuple[PodRange, ...]:
        """The ranges of pod addresses of every node that takes part in the cluster's network."""
        return tuple(pod_ranges_of(filter(_takes_part, self.by_name.values())))

    @cached_property
    def vteps(self) -> Mapping[str, tuple[Vtep, ...]]:
        """The tunnel endpoints that each node announces, by the node's name.

        Annotations that cannot be parsed are that node's matter: the others are still compared.
        """
        return {name: vteps or () for name, vteps in self._announced_vteps.items()}

    @cached_property
    def unreadable_vteps(self) -> tuple[NodeObject, ...]:
        """The nodes whose annotations about tunnel endpoints cannot be parsed."""
        found = (name for name, vteps in self._announced_vteps.items() if vteps is None)
        return tuple(self.by_name[name] for name in found)

    @cached_property
    def _announced_vteps(self) -> Mapping[str, tuple[Vtep, ...] | None]:
        return {name: readable_vteps(node) for name, node in self.by_name.items()}

    @cached_property
    def without_vteps(self) -> Mapping[IPAddress, NodeObject]:
        """The nodes that announce no tunnel endpoint, or none that can be parsed, by address."""
        nodes = [node for name, node in self.by_name.items() if not self.vteps[name]]
        return {each: node for node in nodes for each in all_addresses(node)}

    @cached_property
    def calico(self) -> Mapping[int, CalicoVteps]:
        """Calico's tunnel endpoints of all nodes that take part, by family."""
        nodes = {name: node for name, node in self.by_name.items() if _takes_part(node)}
        return {family: CalicoVteps.of(nodes, family) for family in (4, 6)}

    @cached_property
    def announced(self) -> Mapping[int, AnnouncedEntries]:
        """The entries that follow from all tunnel endpoints, by family."""
        families = grouped((each.family, each) for own in self.vteps.values() for each in own)
        return {family: AnnouncedEntries.by(vteps) for family, vteps in families.items()}


def _takes_part(node: NodeObject) -> bool:
    """Whether the other nodes have routes to the node's pods, as far as its kind tells.

    flannel also runs on Windows, and announces such a node as any other.
    """
    return not kind_of(node) or BACKEND in node.metadata.annotations


def _announced(node: NodeObject) -> Iterator[IPAddress]:
    """Addresses in a node's status and annotations."""
    noted = (node.metadata.annotations.get(name, "") for name in ANNOUNCING)
    yield from all_addresses(node)
    # Calico announces `192.0.2.1/24`.
    yield from valid_addresses(each.partition("/")[0] for each in noted)
