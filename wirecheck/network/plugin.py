"""What a record holds about a CNI plugin: its addresses, devices, routes and Services."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wirecheck.api_index.pod import Pod


class AddressSource(StrEnum):
    """Where pods' addresses come from. The values are the words of docs/plugins.md."""

    NODE_RANGE = "the node's range"
    """spec.podCIDRs of the node."""
    OWN_POOLS = "its own pools"
    NODE_NETWORK = "the nodes' network"
    """Addresses of the network that the nodes themselves are in, as in most clouds."""
    UNKNOWN = "the node's range, if all pods have an address from it"


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


class PeerRoutes(StrEnum):
    """How the pods of other nodes are reached."""

    EACH_NODE = "every node has a route to every other node's range"
    OTHER = "the plugin has its own routes, or the network outside of the nodes has them"


class DeviceKind(StrEnum):
    """A kind of device."""

    PAIR = "pair"
    """veth and netkit pairs."""
    VXLAN = "vxlan"


@dataclass(frozen=True, slots=True)
class Recognition:
    """What identifies the plugin in a cluster, and on a node."""

    daemonsets: tuple[str, ...] = ()
    """Names of the DaemonSets that run its agent, in every distribution."""
    types: tuple[str, ...] = ()
    """The types of its CNI plugins that connect a pod, as a CNI configuration names them."""
    devices: tuple[str, ...] = ()
    """Name prefixes of devices that only this plugin creates, on every node."""
    annotation: str = ""
    """The annotation that its agent writes to its node."""


@dataclass(frozen=True, slots=True)
class ConfigMapSetting:
    """A key of a ConfigMap in kube-system, and the values that switch the feature on."""

    config_map: str
    key: str
    enabled: frozenset[str]
    further: tuple[str, ...] = ()
    """Other keys that change how Services are forwarded."""


@dataclass(frozen=True, slots=True)
class ServiceForwarding:
    """When the plugin forwards Services in place of kube-proxy."""

    always: bool = False
    setting: ConfigMapSetting | None = None
    """The plugin forwards Services if this setting is on."""
    device: str = ""
    """A sign that it forwards Services: the device exists, and no kube-proxy runs on the node."""
    programs: tuple[str, ...] = ()
    """Prefixes of the names of programs on pods' devices that exist only if it forwards Services.
    """
    mode: str = ""
    """The mode of the plugin that forwards Services, if it has several: `eBPF`."""


@dataclass(frozen=True, slots=True)
class KernelMacs:
    """Devices for which the plugin uses the MAC that the kernel chose.

    systemd-udevd changes the MAC of such a device if a .link file has a MACAddressPolicy. The
    plugin has then announced or programmed the previous MAC.
    """

    devices: DeviceKind
    fixed_in: tuple[int, int, int] | None = None
    """The first version that sets the MAC itself; None if every version uses the kernel's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CniPlugin:
    """One CNI plugin."""

    name: str
    """The name as the project writes it."""
    recognised_by: Recognition = Recognition()
    precedence: int = 0
    """If several plugins are recognised, the one with the highest number counts.

    Calico and Cilium, for example, can enforce policies on top of another plugin.
    """
    addresses: AddressSource
    attachment: Attachment
    routes: PeerRoutes = PeerRoutes.OTHER
    health: str = ""
    """Port and path of its agent's health endpoint, `9879/healthz`; empty if none is asked."""
    pod_interfaces: tuple[str, ...] = ()
    """Name prefixes of the node's ends of pods' pairs, as `cali` of `cali0d7763abc12`."""
    own_devices: tuple[str, ...] = ()
    """Name prefixes of devices that the plugin creates for itself on every node."""
    devices_in_use: tuple[str, ...] = ()
    """Names of those of them that carry packets as long as they exist, and so must be up."""
    redirected_devices: tuple[str, ...] = ()
    """Name prefixes of devices whose packets eBPF redirects.

    No route leads back through such a device, so a strict rp_filter drops its packets.
    """
    programs: tuple[str, ...] = ()
    """Prefixes of the names of the programs that it attaches to pods' and tunnel devices."""
    pod_programs: tuple[str, ...] = ()
    """Prefixes of those that handle what pods send, also to Services. Every pod's device has one,
    or none has.
    """
    masquerade_chains: tuple[str, ...] = ()
    """Name prefixes of the iptables chains with its masquerade rules."""
    filter_chains: tuple[tuple[str, str], ...] = ()
    """The chains of its policies in table filter, each with the built-in chain that calls it."""
    nftables_filter: tuple[str, str] = ("", "")
    """The nftables table that has these chains instead, and what their names begin with there."""
    policy_resync: int = 60
    """After so many seconds its agent has written all policies again, whatever it missed."""
    services: ServiceForwarding = ServiceForwarding()
    kernel_macs: KernelMacs | None = None
    own_policies: bool = False
    """Whether it enforces policies of kinds of its own, beside NetworkPolicy."""
    node_files: tuple[str, ...] = ()
    """Files on nodes whose content differs from node to node, such as the node's range."""
    object_names: frozenset[str] = frozenset()
    """Names of its namespaces and ConfigMaps, which redaction keeps."""

    def __str__(self) -> str:
        """The name."""
        return self.name

    def has_agent(self, pod: Pod) -> bool:
        """Return whether the pod is the plugin's agent, of a DaemonSet such as calico-node.

        Agents set up the node's network, so they are on it; other pods may have their names.
        """
        kind, _, name = pod.ref.workload.partition("/")
        is_daemon = kind == "DaemonSet" and pod.on_host_network
        return is_daemon and name in self.recognised_by.daemonsets


UNKNOWN = CniPlugin(
    name="an unknown CNI plugin",
    addresses=AddressSource.UNKNOWN,
    attachment=Attachment.UNKNOWN,
)
"""The record of a cluster whose plugin is not recognised. It assumes nothing."""
