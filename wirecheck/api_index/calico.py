"""Calico's VXLAN tunnel endpoints, as felix works them out on every node.

A node announces the address of its tunnel device in an annotation, and its MAC only if somebody
has configured one. Otherwise felix derives the MAC from the node's name (VXLANResolver).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress
from wirecheck.api_index.node_addresses import node_ips, valid_addresses
from wirecheck.api_index.node_ref import node_ref
from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.objects.node import NodeObject

PREFIX = "projectcalico.org/"
TUNNEL = {4: f"{PREFIX}IPv4VXLANTunnelAddr", 6: f"{PREFIX}IPv6VXLANTunnelAddr"}
MAC = {4: f"{PREFIX}VXLANTunnelMACAddr", 6: f"{PREFIX}VXLANTunnelMACAddrV6"}
OWN = {4: f"{PREFIX}IPv4Address", 6: f"{PREFIX}IPv6Address"}
SUFFIX = {4: "", 6: "-v6"}
"""What felix adds to a node's name before it derives the MAC."""


@dataclass(frozen=True)
class CalicoVtep:
    """The tunnel endpoint of one node in one family."""

    node: NodeObject
    family: int

    @property
    def name(self) -> str:
        return self.node.metadata.name

    @property
    def ref(self) -> Ref:
        return node_ref(self.node)

    @cached_property
    def announced_mac(self) -> str:
        """The MAC that the node announces; empty if it announces none."""
        return self.node.metadata.annotations.get(MAC[self.family], "").lower()

    @cached_property
    def mac(self) -> str:
        """The MAC of the tunnel device."""
        return self.announced_mac or derived_mac(self.name, self.family)

    @cached_property
    def tunnel(self) -> IPAddress | None:
        """The address of the tunnel device, which is the gateway of routes to the node's pods."""
        return self._noted(TUNNEL[self.family])

    @cached_property
    def endpoints(self) -> tuple[IPAddress, ...]:
        """The addresses to which other nodes may send; the first one is the usual."""
        noted = self._noted(OWN[self.family])
        own = (each for each in node_ips(self.node) if each.version == self.family)
        return (noted,) if noted else tuple(own)

    def _noted(self, annotation: str) -> IPAddress | None:
        # Calico announces its own address with the length of the network: `192.0.2.1/24`.
        text = self.node.metadata.annotations.get(annotation, "").partition("/")[0]
        found = next(valid_addresses([text]), None)
        return found if found and found.version == self.family else None


def derived_mac(node: str, family: int) -> str:
    """The MAC that felix derives from a node's name: `66:` and the start of its SHA-1."""
    digest = hashlib.sha1((node + SUFFIX[family]).encode(), usedforsecurity=False).digest()
    return f"66:{digest[:5].hex(':')}"


@dataclass(frozen=True)
class CalicoVteps:
    """The endpoints of all nodes, in one family."""

    by_name: Mapping[str, CalicoVtep]

    @classmethod
    def of(cls, nodes: Mapping[str, NodeObject], family: int) -> CalicoVteps:
        """Index the endpoints of these nodes."""
        return cls({name: CalicoVtep(node, family) for name, node in nodes.items()})

    @cached_property
    def by_mac(self) -> Mapping[str, CalicoVtep]:
        return {each.mac: each for each in self.by_name.values()}

    @cached_property
    def by_tunnel(self) -> Mapping[IPAddress, CalicoVtep]:
        return {each.tunnel: each for each in self.by_name.values() if each.tunnel}

    @cached_property
    def by_endpoint(self) -> Mapping[IPAddress, CalicoVtep]:
        return {where: each for each in self.by_name.values() for where in each.endpoints}
