"""The devices that the CNI plugin creates for itself, as far as they are known to be in use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.pod_ranges import BACKEND
from wirecheck.api_index.vteps import vteps_of
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.network.plugin import Attachment
from wirecheck.network.plugins.calico import IPIP_DEVICE, VXLAN_DEVICES
from wirecheck.network.plugins.flannel import PLUGIN as FLANNEL
from wirecheck.network.plugins.flannel import TUNNELS, vxlan_device
from wirecheck.node.netns import Interface
from wirecheck.node.seen import NodeSeen

VXLAN = "vxlan"
TUNNELS_OF_CALICO = {
    IPIP_DEVICE: "projectcalico.org/IPv4IPIPTunnelAddr",
    VXLAN_DEVICES[4]: "projectcalico.org/IPv4VXLANTunnelAddr",
    VXLAN_DEVICES[6]: "projectcalico.org/IPv6VXLANTunnelAddr",
}
"""The annotation with the address of each of Calico's tunnel devices."""


@dataclass(frozen=True)
class PluginDevices:
    """The plugin's own devices on one node, apart from pods' pairs."""

    seen: NodeSeen

    @cached_property
    def in_use(self) -> tuple[Interface, ...]:
        """Those that packets of pods need. Raises NotApplicable if none is known.

        An earlier configuration can have left others, which are down.
        """
        names = {
            *self.seen.cni.devices_in_use,
            *self._tunnels_of_flannel,
            *self._tunnels_of_calico,
        }
        bridges = {each.name for each in self._bridges}
        found = [each for each in self.seen.host.interfaces if each.name in names | bridges]
        if not found:
            raise NotApplicable(
                f"no device is known that {self.seen.cni} needs for itself, and no bridge of the "
                "node has pods and an address from the node's range"
            )
        return tuple(found)

    @property
    def down(self) -> Iterator[Interface]:
        """Those that are down."""
        return (each for each in self.in_use if not each.is_up)

    @property
    def _tunnels_of_flannel(self) -> Iterator[str]:
        """The names of flannel's tunnels, by the backend that the node announces."""
        # Canal and Calico for policies run beside flannel, which still joins the nodes.
        agents = (self.seen.cni, *self.seen.cluster.cni_agents)
        has_flannel = any(set(each.own_devices) & set(FLANNEL.own_devices) for each in agents)
        backend = self.seen.object.metadata.annotations.get(BACKEND) if has_flannel else None
        if backend == VXLAN:
            yield from (vxlan_device(e.family, e.vni) for e in vteps_of(self.seen.object))
        yield from TUNNELS.get(backend or "", ())

    @property
    def _tunnels_of_calico(self) -> Iterator[str]:
        """The names of Calico's tunnels whose address the node announces and the device has.

        Another IPIP device is not Calico's: it exists wherever the module is loaded.
        """
        for each in self.seen.host.interfaces:
            annotation = TUNNELS_OF_CALICO.get(each.name, "")
            announced = self.seen.object.metadata.annotations.get(annotation, "")
            if announced in map(str, each.addresses):
                yield each.name

    @property
    def _bridges(self) -> Iterator[Interface]:
        """The bridges that pods are on: with ports, and an address from the node's range."""
        host, ranges = self.seen.host, self.seen.pod_ranges
        if self.seen.cni.attachment not in (Attachment.BRIDGE, Attachment.UNKNOWN):
            return
        for each in host.interfaces:
            is_pods = any(
                n.version == r.version and n.overlaps(r) for n in each.networks for r in ranges
            )
            if each.is_bridge and is_pods and host.bridges[each.name]:
                yield each
