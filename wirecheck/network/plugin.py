"""What a record holds about a CNI plugin: its addresses, devices, routes and Services."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class AddressSource(StrEnum):
    """Where pods' addresses come from. The values are the words of docs/plugins.md."""

    NODE_RANGE = "the node's range"
    """spec.podCIDRs of the node."""
    OWN_POOLS = "its own pools"
    NODE_NETWORK = "the nodes' network"
    """Addresses of the network that the nodes themselves are in, as in most clouds."""
    UNKNOWN = "the node's range, if any pod has an address from it"


class Attachment(StrEnum):
    """How packets get from the node to a pod. The values are the words of docs/plugins.md."""

    BRIDGE = "bridge"
    HOST_ROUTE = "a route for each pod"
    EBPF = "eBPF"
    OPEN_VSWITCH = "Open vSwitch"
    UNKNOWN = "bridge or a route for each pod"

    @property
    def bypasses_routing(self) -> bool:
        """Whether pods are reached without a bridge or a route of the node."""
        return self in (Attachment.EBPF, Attachment.OPEN_VSWITCH)


class NodeRoutes(StrEnum):
    """How the pods of other nodes are reached."""

    EACH_NODE = "every node has a route to every other node's range"
    OTHER = "the plugin has its own routes, or the network outside of the nodes has them"


class DeviceKind(StrEnum):
    """Which devices of a plugin a rule is about."""

    PAIR = "pair"
    """veth and netkit pairs."""
    VXLAN = "vxlan"


@dataclass(frozen=True, slots=True)
class Recognition:
    """What identifies the plugin in a cluster."""

    daemonsets: tuple[str, ...] = ()
    """Names of the DaemonSets that run its agent."""


@dataclass(frozen=True, slots=True)
class ConfigMapSetting:
    """A key of a ConfigMap in kube-system, and the values that switch the feature on."""

    config_map: str
    key: str
    enabled: frozenset[str]


@dataclass(frozen=True, slots=True)
class ServiceForwarding:
    """When the plugin forwards Services in place of kube-proxy."""

    always: bool = False
    setting: ConfigMapSetting | None = None
    """It does where this setting is on."""
    device: str = ""
    """It may where this device exists, and neither a kube-proxy pod nor an answer is there."""
    mode: str = ""
    """The mode in which it does, where there are several: `eBPF`."""


@dataclass(frozen=True, slots=True)
class KernelMacs:
    """Devices whose MAC the plugin takes over from the kernel.

    systemd-udevd gives such a device another MAC when its MACAddressPolicy says so, and the
    plugin then announces or programs the old one.
    """

    devices: DeviceKind
    fixed_in: tuple[int, int, int] | None = None
    """The version from which the plugin chooses the MAC itself; None where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CniPlugin:
    """One CNI plugin."""

    name: str
    """As its project writes it."""
    recognised_by: Recognition = Recognition()
    precedence: int = 0
    """Where two plugins are recognised, the higher number counts.

    Calico and Cilium can enforce policies on top of another plugin; flannel can run below one.
    """
    addresses: AddressSource
    attachment: Attachment
    routes: NodeRoutes = NodeRoutes.OTHER
    pod_interfaces: tuple[str, ...] = ()
    """Prefixes of the names that it gives to the node's ends of pods' pairs."""
    own_devices: tuple[str, ...] = ()
    """Prefixes of the names of devices that it creates for itself on every node."""
    redirected_devices: tuple[str, ...] = ()
    """Prefixes of devices whose packets eBPF redirects, so that no route leads back by them.

    A strict rp_filter drops what comes in by such a device.
    """
    masquerade_chains: tuple[str, ...] = ()
    """Prefixes of the iptables chains that hold its masquerade rules."""
    services: ServiceForwarding = ServiceForwarding()
    kernel_macs: KernelMacs | None = None
    node_files: tuple[str, ...] = ()
    """Files that differ from node to node, as they hold the node's own range."""
    object_names: frozenset[str] = field(default=frozenset())
    """Names of its other objects, such as namespaces, that redaction keeps."""

    def __str__(self) -> str:
        """The name."""
        return self.name

    @property
    def workloads(self) -> frozenset[str]:
        """`DaemonSet/calico-node`: its agent, as pods name their owner."""
        return frozenset(f"DaemonSet/{name}" for name in self.recognised_by.daemonsets)


UNKNOWN = CniPlugin(
    name="an unknown CNI plugin",
    addresses=AddressSource.UNKNOWN,
    attachment=Attachment.UNKNOWN,
)
"""Where no plugin is recognised: nothing is assumed."""
