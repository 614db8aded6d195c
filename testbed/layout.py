"""Who is who in the test cluster: names, addresses, ranges."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass

from testbed.commands import TestbedError

LABEL = "wirecheck.testbed=1"
"""What marks a container, volume, image or network as ours."""

FOLDER_LABEL = "wirecheck.testbed.folder"
"""The label of a container that names the state folder it belongs to."""

NETWORK = "wc-net"
BRIDGE = "wc-br0"
TAP = "wc-tap0"
DNS = "wc-dns"
CONTROL_PLANE = "wc-cp"
WORKERS = ("wc-w1", "wc-w2")
VM = "wc-vm"

POD_RANGE = "10.244.0.0/16"
SERVICE_RANGE = "10.96.0.0/16"
CLUSTER_DNS = "10.96.0.10"
API_SERVICE = "10.96.0.1"

SUBNET_V6 = "fd00:250::/64"
POD_RANGE_V6 = "fd00:244::/56"
SERVICE_RANGE_V6 = "fd00:96::/112"
"""Of the second family, which only a cluster of the dual-stack shape has."""

SUBNETS = ("172.31.250.0/24", "172.30.250.0/24", "192.168.250.0/24", "10.213.250.0/24")
"""Where the nodes' network may be: the first that nothing on this machine uses."""

Range = ipaddress.IPv4Network


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node: its name, which is also its container's, and its address."""

    name: str
    address: str
    is_vm: bool = False
    address_v6: str = ""

    @property
    def zone(self) -> str:
        """For Services that prefer close endpoints."""
        return "a" if self.name in (CONTROL_PLANE, WORKERS[0]) else "b"


@dataclass(frozen=True, slots=True)
class Layout:
    """The addresses in one subnet, and in that of the second family where there is one."""

    subnet: str
    dual_stack: bool = False

    def at(self, number: int) -> str:
        return str(ipaddress.ip_network(self.subnet)[number])

    def at_v6(self, number: int) -> str:
        """The same place in the second family; nothing where the cluster has one family."""
        return str(ipaddress.ip_network(SUBNET_V6)[number]) if self.dual_stack else ""

    @property
    def pod_ranges(self) -> str:
        """As Kubernetes' options take them, separated by a comma."""
        return f"{POD_RANGE},{POD_RANGE_V6}" if self.dual_stack else POD_RANGE

    @property
    def service_ranges(self) -> str:
        return f"{SERVICE_RANGE},{SERVICE_RANGE_V6}" if self.dual_stack else SERVICE_RANGE

    @property
    def gateway(self) -> str:
        return self.at(1)

    @property
    def control_plane(self) -> NodeSpec:
        return NodeSpec(CONTROL_PLANE, self.at(10), address_v6=self.at_v6(10))

    @property
    def workers(self) -> tuple[NodeSpec, ...]:
        return tuple(
            NodeSpec(name, self.at(number), address_v6=self.at_v6(number))
            for number, name in enumerate(WORKERS, start=11)
        )

    @property
    def containers(self) -> tuple[NodeSpec, ...]:
        return (self.control_plane, *self.workers)

    @property
    def vm(self) -> NodeSpec:
        return NodeSpec(VM, self.at(20), is_vm=True)

    @property
    def dns(self) -> str:
        return self.at(53)

    @property
    def api_server(self) -> str:
        return f"{self.control_plane.address}:6443"

    def nodes(self, vm: bool) -> tuple[NodeSpec, ...]:
        """All nodes, with or without the virtual machine."""
        return (*self.containers, self.vm) if vm else self.containers


def choose_subnet(taken: Collection[Range]) -> str:
    """The first subnet that overlaps none of the ranges in use.

    Raises TestbedError where there is none, or where pods' or Services' range is in use.
    """
    for purpose, wanted in (("pods", POD_RANGE), ("Services", SERVICE_RANGE)):
        clash = [str(t) for t in taken if t.overlaps(Range(wanted))]
        if clash:
            raise TestbedError(
                f"the range for {purpose}, {wanted}, overlaps {', '.join(clash)} on this machine;"
                " free it, or change it in testbed/layout.py"
            )
    for subnet in SUBNETS:
        if not any(t.overlaps(Range(subnet)) for t in taken):
            return subnet
    raise TestbedError(f"all of {', '.join(SUBNETS)} are in use on this machine")
