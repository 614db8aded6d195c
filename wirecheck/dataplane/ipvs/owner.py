"""Which virtual servers are kube-proxy's: kube-vip, lvscare and keepalived have some as well.

kube-proxy binds the address of every virtual server to kube-ipvs0, except for node ports, and
lists address and port in its ipsets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from wirecheck.dataplane.table import Frontend
from wirecheck.parse.ipset import Ipset
from wirecheck.parse.ipvs import VirtualServer

NODE_PORTS = range(30000, 32768)
"""--service-node-port-range of the API server, unless configured otherwise."""
PREFIX = "KUBE-"
PORTS = "bitmap:port"


@dataclass(frozen=True)
class Ownership:
    """What kube-proxy left on a node to recognise its virtual servers by."""

    bound: frozenset[str]
    """The addresses on kube-ipvs0."""
    local: frozenset[str]
    """All addresses of the node."""
    entries: frozenset[str] = field(default_factory=frozenset)
    """Those of its ipsets, `10.96.0.1,tcp:443`."""
    ports: frozenset[int] = field(default_factory=frozenset)
    """The ports in its ipsets of node ports."""

    @classmethod
    def of(cls, bound: Iterable[str], local: Iterable[str], sets: Mapping[str, Ipset]) -> Ownership:
        """Read the ipsets; those of other programs have other names."""
        own = [each for name, each in sets.items() if name.startswith(PREFIX)]
        ports = (e for each in own if each.type == PORTS for e in each.entries if e.isdecimal())
        return cls(
            frozenset(bound),
            frozenset(local),
            frozenset(entry for each in own if each.type != PORTS for entry in each.entries),
            frozenset(map(int, ports)),
        )

    @property
    def is_known(self) -> bool:
        """Whether kube-proxy has ever been in IPVS mode since the node was booted."""
        return bool(self.bound or self.entries or self.ports)

    def has(self, server: VirtualServer, wanted: Collection[Frontend]) -> bool:
        """Whether the virtual server is kube-proxy's. `wanted` are the Services' frontends."""
        if not self.is_known:
            return False
        if server.address in self.bound:
            return True
        frontend = Frontend(server.family, server.address, server.protocol, server.port)
        if frontend in wanted:
            return True
        if f"{server.address},{server.protocol}:{server.port}" in self.entries:
            return True
        is_node_port = server.port in self.ports or server.port in NODE_PORTS
        return server.address in self.local and (
            is_node_port or frontend._replace(address="") in wanted
        )
