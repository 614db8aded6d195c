"""Devices at which packets of pods arrive, and that do not forward them.

For IPv4 the kernel asks the device that a packet arrived at, not `all` (ip_route_input_slow). A
write to ip_forward changes every device, so that one differs only if it was written later. For IPv6
it asks `all` (ip6_forward).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from wirecheck.api_index.node_addresses import node_ips
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.node.netns import Interface
from wirecheck.node.plugin_devices import PluginDevices
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.seen import NodeSeen

FORWARDING = "/proc/sys/net/ipv4/conf/{}/forwarding"
EVERYWHERE = "net.ipv4.ip_forward"


@dataclass(frozen=True)
class Forwarding:
    """Whether one node forwards what comes from its pods and what comes to them."""

    seen: NodeSeen
    namespaces: PodNamespaces
    devices: PluginDevices

    @property
    def refusing(self) -> Iterator[Interface]:
        """The devices whose own setting is off while the node forwards in general."""
        is_on = self.seen.sysctl(EVERYWHERE) == "1"
        if not is_on or 4 not in self.seen.families_of_pods or self.seen.bypasses_routing:
            return
        arrivals = {each.index: each for each in self._arrivals if each.is_up}
        for _, device in sorted(arrivals.items()):
            if self.seen.files.get(FORWARDING.format(device.name), "").strip() == "0":
                yield device

    @property
    def _arrivals(self) -> Iterator[Interface]:
        for pair in self.namespaces.veths:
            if (device := pair.near) is not None:
                yield device
        with suppress(NotApplicable):
            yield from self.devices.in_use
        own = frozenset(node_ips(self.seen.object))
        yield from (each for each in self.seen.host.interfaces if each.addresses & own)
