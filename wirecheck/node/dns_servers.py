"""The DNS servers that pods of one node may use, recognised by what is on the node.

Besides the DNS Service that is a cache of the node (NodeLocal DNSCache, AKS LocalDNS, dnsmasq), an
address that the plugin redirects (Cilium's local redirect policy), or one of the platform (Cloud
DNS of GKE). What the kubelet hands out decides which of them pods use.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from wirecheck.addresses import IPAddress, address

CACHE_DEVICE = "nodelocaldns"
USUAL_CACHE = frozenset({address("169.254.20.10")})
"""The address of NodeLocal DNSCache by convention, beside the Service's address."""


class Standing(Enum):
    """Whether an address is a DNS server of the cluster."""

    RIGHT = "right"
    UNKNOWN = "unknown"
    """Nothing on the node shows what serves it, and no query was sent to it."""
    WRONG = "wrong"


@dataclass(frozen=True)
class DnsServers:
    """The addresses at which pods of one node may query DNS."""

    services: frozenset[IPAddress]
    """The addresses of the DNS Services."""
    others: frozenset[IPAddress] = frozenset()
    """The addresses of other Services with port 53."""
    handed_out: tuple[str, ...] = ()
    """What the kubelet gives to pods, as text; empty if that is unknown."""
    bound: frozenset[IPAddress] = frozenset()
    """The addresses of the node's own interfaces."""
    caches: frozenset[IPAddress] = USUAL_CACHE
    """The addresses of NodeLocal DNSCache."""
    answering: frozenset[IPAddress] = frozenset()
    """Further servers that gave the node or a pod the correct answer."""

    def standing(self, text: str) -> Standing:
        """Return the standing of a server in a resolv.conf or in the kubelet's settings."""
        try:
            server = address(text.partition("%")[0])
        except ValueError:
            return Standing.WRONG
        if server in self.services | self.caches | self.answering:
            return Standing.RIGHT
        is_handed_out = server in self.handed_out_addresses
        if is_handed_out and server in self.others:
            return Standing.RIGHT
        if server in self.bound and (is_handed_out or server.is_link_local):
            return Standing.RIGHT  # dns.node_local_cache reports one that does not answer.
        if server.is_link_local and (is_handed_out or not self.handed_out):
            # Reachable on this node only, whoever serves it there: the plugin or the platform.
            return Standing.UNKNOWN
        return Standing.WRONG

    @property
    def bypass_services(self) -> bool:
        """Whether the kubelet is known to give pods only servers other than DNS Services."""
        found = self.handed_out_addresses
        return bool(found) and not found & (self.services | self.others)

    @property
    def handed_out_addresses(self) -> frozenset[IPAddress]:
        """The addresses of DNS servers that the kubelet gives to pods."""
        found = set()
        for text in self.handed_out:
            with suppress(ValueError):
                found.add(address(text))
        return frozenset(found)
