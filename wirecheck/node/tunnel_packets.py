"""What other nodes send to the VXLAN port of one node, as examples for its packet filter.

The kernel chooses the source port by the packet inside, so that the two directions are two
connections for conntrack: a rule for established connections does not accept them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.node_addresses import all_addresses, internal_addresses, is_contactable
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket
from wirecheck.node.firewall import Dropped, Firewall
from wirecheck.node.netns import Interface
from wirecheck.node.plugin_devices import PluginDevices
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen

MOST_PEERS = 8
EBPF_TUNNELS = ("cilium_vxlan",)
"""VXLAN devices that programs send packets to, without a route."""
WIREGUARD = "wireguard"
BY_SOURCE = (" -s ", " saddr ")
"""A condition on the source in a rule of iptables and of nftables."""


@dataclass(frozen=True)
class TunnelPackets:
    """Packets of VXLAN that arrive at one node."""

    seen: NodeSeen
    devices: PluginDevices
    routes: NodeRoutes
    firewall: Firewall

    @property
    def refused(self) -> Iterator[tuple[Interface, Dropped]]:
        """The devices of which the node refuses all packets, whichever other node sends them.

        Without those that a rule refuses by their source: firewall.source_bans reports it.
        """
        for device in self._in_use:
            packets = [(device.name, each) for each in self._arriving(device)]
            dropped = list(self.firewall.refused_on_arrival(iter(packets)))
            is_ban = any(word in each.rule for each in dropped for word in BY_SOURCE)
            if packets and len(dropped) == len(packets) and not is_ban:
                yield device, dropped[0]

    @property
    def _in_use(self) -> Iterator[Interface]:
        try:
            known = self.devices.in_use
        except NotApplicable:
            return
        routed = {each.index for each in self.seen.host.record.routes if each.type == "unicast"}
        for each in known:
            if each.link.vxlan_port and (each.index in routed or each.name in EBPF_TUNNELS):
                yield each

    def _arriving(self, device: Interface) -> Iterator[ForwardedPacket]:
        """One from each address of a few other nodes."""
        own = self._endpoint(device)
        if own is None:
            return
        others = (each for name, each in self.seen.cluster.nodes.items() if name != self.seen.name)
        for node in islice(others, MOST_PEERS):
            for source in all_addresses(node):
                if source.version == own.version and is_contactable(source):
                    yield self._packet(source, own, device.link.vxlan_port)

    def _endpoint(self, device: Interface) -> IPAddress | None:
        if local := device.link.vxlan_local:
            return address(local)
        return next(iter(internal_addresses(self.seen.object)), None)

    def _packet(self, source: IPAddress, own: IPAddress, port: int | None) -> ForwardedPacket:
        return ForwardedPacket(
            source,
            own,
            self._way_in(source),
            protocol="udp",
            port=port,
            is_direct=True,
            is_received=True,
        )

    def _way_in(self, source: IPAddress) -> str:
        """The device by which the packets come in; empty if it is not known.

        With WireGuard they may come in twice, and the second time without encryption.
        """
        if any(each.link.kind == WIREGUARD for each in self.seen.host.interfaces):
            return ""
        routing = self.routes.routing
        route = routing.route_to(source)
        uplink = routing.device_of(route) if route else None
        return uplink.name if uplink else ""
