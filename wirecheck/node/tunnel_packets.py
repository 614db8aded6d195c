"""What other nodes send to one node through tunnels, as examples for its packet filter.

With VXLAN and Geneve the kernel chooses the source port by the packet inside, so that the two
directions are two connections for conntrack: a rule for established connections does not accept
them. With WireGuard and IPIP it does, but one of the nodes has to begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.node_addresses import all_addresses, internal_addresses, is_contactable
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket
from wirecheck.network.open_vswitch import OVS_TUNNELS
from wirecheck.node.filter_chains import Dropped
from wirecheck.node.firewall import Firewall
from wirecheck.node.netns import Interface
from wirecheck.node.plugin_devices import PluginDevices
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen

MOST_PEERS = 8
WITHOUT_ROUTE = ("cilium_vxlan", "cilium_geneve", "cilium_wg0", *OVS_TUNNELS)
"""Devices that programs or switches send packets to, without a route."""
WIREGUARD = "wireguard"
PORTS: Mapping[str, int] = {
    "flannel-wg": 51820,
    "flannel-wg-v6": 51821,
    "wireguard.cali": 51820,
    "wg-v6.cali": 51821,
    "antrea-wg0": 51820,
    "cilium_geneve": 6081,
}
"""UDP ports that are usual, and that the plugin's configuration may change."""
FIXED_PORTS: Mapping[str, int] = {"cilium_wg0": 51871}
PORT_IN_NAME = re.compile(r"genev_sys_(\d{1,5})")
"""Open vSwitch's devices for Geneve have their UDP port in the name."""
IPIP, IPIP_PROTOCOL = "ipip", "ipencap"
"""Protocol 4, as /etc/protocols and iptables name it."""
OTHER_PORT = "a rule accepts further UDP ports, and the plugin may be configured with another one"
FURTHER_PORTS = tuple(
    each
    for each in range(1024, 1 << 16)
    # Not those of node ports, mDNS, VXLAN, Geneve, Weave and the usual ones of WireGuard.
    if not 30000 <= each < 32768
    and each not in {5353, 4789, 8472, 6081, 6783, 6784, 51820, 51821, 51871}
)
"""Where somebody may let a tunnel listen instead."""
BY_SOURCE = (" -s ", " saddr ")
"""A condition on the source in a rule of iptables and of nftables."""


class Transport(NamedTuple):
    """How a tunnel's packets arrive."""

    protocol: str
    port: int | None = None
    is_usual: bool = False
    """Whether the port is only the usual one."""


def _transport_of(device: Interface) -> Transport | None:
    """How the packets of the device arrive; None if that is not known."""
    link, name = device.link, device.name
    if link.vxlan_port:
        return Transport("udp", link.vxlan_port)
    if link.kind == IPIP:
        return Transport(IPIP_PROTOCOL)
    if in_name := PORT_IN_NAME.fullmatch(name):
        return Transport("udp", int(in_name[1]))
    if name in FIXED_PORTS:
        return Transport("udp", FIXED_PORTS[name])
    return Transport("udp", PORTS[name], is_usual=True) if name in PORTS else None


def _back(packet: ForwardedPacket) -> ForwardedPacket:
    """What the node sends through the tunnel to the sender of a packet."""
    return replace(
        packet,
        source=packet.destination,
        destination=packet.source,
        iif="",
        oif=packet.iif,
        is_received=False,
        is_sent=True,
    )


@dataclass(frozen=True)
class TunnelPackets:
    """Packets of tunnels that arrive at one node."""

    seen: NodeSeen
    devices: PluginDevices
    routes: NodeRoutes
    firewall: Firewall

    @property
    def refused(self) -> Iterator[tuple[Interface, Dropped]]:
        """The devices of which the node refuses all packets, from whichever other node or to it.

        Without those that a rule refuses by their source: firewall.source_bans reports it.
        """
        for device, transport in self._in_use:
            arriving = [*self._arriving(device, transport)]
            for hook in ("input", "output"):
                packets = arriving if hook == "input" else [_back(each) for each in arriving]
                dropped = list(self.firewall.refused_at(hook, ((hook, e) for e in packets)))
                is_ban = any(word in each.rule for each in dropped for word in BY_SOURCE)
                if packets and len(dropped) == len(packets) and not is_ban:
                    yield device, self._doubted(dropped[0], transport)

    def _doubted(self, dropped: Dropped, transport: Transport) -> Dropped:
        """Inconclusive if the tunnel may have a port that the node accepts."""
        is_sure = dropped.inconclusive or not transport.is_usual
        packet, hook = dropped.packet, dropped.what
        if is_sure or not self.firewall.accepts_further_ports(hook, packet, FURTHER_PORTS):
            return dropped
        return replace(dropped, inconclusive=OTHER_PORT)

    @property
    def _in_use(self) -> Iterator[tuple[Interface, Transport]]:
        try:
            known = self.devices.in_use
        except NotApplicable:
            return
        routed = {each.index for each in self.seen.host.record.routes if each.type == "unicast"}
        for each in known:
            transport = _transport_of(each)
            if transport and (each.index in routed or each.name in WITHOUT_ROUTE):
                yield each, transport

    def _arriving(self, device: Interface, transport: Transport) -> Iterator[ForwardedPacket]:
        """One from each address of a few other nodes."""
        own = self._endpoint(device)
        if own is None:
            return
        others = (each for name, each in self.seen.cluster.nodes.items() if name != self.seen.name)
        for node in islice(others, MOST_PEERS):
            for source in all_addresses(node):
                if source.version == own.version and is_contactable(source):
                    yield self._packet(source, own, transport, device)

    def _endpoint(self, device: Interface) -> IPAddress | None:
        if local := device.link.vxlan_local:
            return address(local)
        return next(iter(internal_addresses(self.seen.object)), None)

    def _packet(
        self, source: IPAddress, own: IPAddress, transport: Transport, device: Interface
    ) -> ForwardedPacket:
        return ForwardedPacket(
            source,
            own,
            self._way_in(source, device),
            protocol=transport.protocol,
            port=transport.port,
            is_direct=True,
            is_received=True,
        )

    def _way_in(self, source: IPAddress, device: Interface) -> str:
        """The device by which the packets come in; empty if it is not known.

        With WireGuard they may come in twice, and the second time without encryption.
        """
        others = (each for each in self.seen.host.interfaces if each is not device)
        if any(each.link.kind == WIREGUARD for each in others):
            return ""
        routing = self.routes.routing
        route = routing.route_to(source)
        uplink = routing.device_of(route) if route else None
        return uplink.name if uplink else ""
