"""Plugins that wirecheck has no record of: nothing may be assumed about them."""

from __future__ import annotations

from tests.checks.small_cluster import SmallCluster, port
from tests.network.building import (
    PODS,
    put_on_open_vswitch,
    run_agent,
    set_cni_configuration,
    set_filter,
    set_pod_addresses,
    set_up_host,
    set_up_pods,
)
from wirecheck.snapshot.netns import Address, Link, Route

UNKNOWN = "acme-network-agent"


def of_open_vswitch(small: SmallCluster) -> None:
    """Ports of a switch; by chance all pods of this node have addresses of its podCIDR."""
    run_agent(small, UNKNOWN)
    set_cni_configuration(small, "10-acme.conflist", ["acme-cni"], [])
    put_on_open_vswitch(small, "acme", "acme-gw0")
    small.change_netns(
        small.document.namespaces[0].inode if small.document else 0,
        routes=[
            Route(4, "default", gateway="192.0.2.254", index=2),
            Route(4, "192.0.2.0/24", index=2, scope="link", protocol=2),
            Route(4, "10.244.0.0/16", index=4, scope="link"),
        ],
    )
    set_filter(small, "", "", policy="ACCEPT")


def of_a_virtual_router(small: SmallCluster) -> None:
    """Pairs without a bridge, a switch or a route, as of Contrail's vRouter."""
    pods = ("10.47.255.250", "10.47.255.251")
    run_agent(small, "contrail-agent")
    set_pod_addresses(small, *pods)
    set_cni_configuration(small, "10-contrail.conf", ["contrail-k8s-cni"], [])
    sides = set_up_pods(small, "tapeth0-", pods, length=12, gateway="10.47.255.254")
    uplink = Link(3, "vhost0", flags=["UP", "LOWER_UP"], mtu=1500)
    set_up_host(small, [uplink, *sides], [])
    set_filter(small, "", "", policy="ACCEPT")


def of_macvlan(small: SmallCluster) -> None:
    """Pods have no pair at all."""
    pods = ("192.0.2.81", "192.0.2.82")
    run_agent(small, UNKNOWN)
    set_pod_addresses(small, *pods)
    set_cni_configuration(small, "10-macvlan.conflist", ["macvlan"], ["host-local"])
    set_up_pods(small, "macv", pods, length=24, gateway="192.0.2.254", kind="macvlan")
    set_up_host(small, [], [])
    set_filter(small, "", "", policy="ACCEPT")


def of_a_bridge_of_the_network(small: SmallCluster) -> None:
    """A bridge of the runtime's own configuration, with the uplink as a port and no address."""
    pods = ("198.51.100.81", "198.51.100.82")
    run_agent(small, UNKNOWN)
    set_pod_addresses(small, *pods)
    set_cni_configuration(small, "10-bridge.conflist", ["bridge"], ["dhcp"])
    set_up_pods(small, "veth0d77", pods, length=24, gateway="198.51.100.1")
    sides = [port(10 + n, f"veth0d77{name}", n) for n, name in enumerate(PODS.values(), start=1)]
    bridge = Link(5, "br-pods", flags=["UP", "LOWER_UP"], mtu=1450, kind="bridge")
    second = Link(3, "ens4", flags=["UP", "LOWER_UP"], mtu=1450, master=5)
    set_up_host(small, [second, bridge, *sides], [])
    set_filter(small, "", "", policy="ACCEPT")


def kubenet(small: SmallCluster) -> None:
    """kubenet or containerd's own template: a bridge in the node's range, routes of the cloud."""
    small.api["pods"].pop(2)
    for node in small.api["nodes"]:
        node["metadata"]["annotations"] = {}
    pods = ("10.244.0.2", "10.244.0.3")
    set_cni_configuration(small, "10-containerd-net.conflist", ["bridge", "portmap"], [])
    set_up_pods(small, "veth0d77", pods, length=24, gateway="10.244.0.1")
    sides = [port(10 + n, f"veth0d77{name}", n) for n, name in enumerate(PODS.values(), start=1)]
    set_up_host(
        small,
        [Link(5, "cbr0", flags=["UP", "LOWER_UP"], mtu=1450, kind="bridge"), *sides],
        [Route(4, "10.244.0.0/24", index=5, scope="link", protocol=2)],
        addresses=[Address(2, "192.0.2.1", 24), Address(5, "10.244.0.1", 24)],
    )
    set_filter(small, "", "", policy="ACCEPT")


CLUSTERS = {
    "an unknown CNI plugin, Open vSwitch": of_open_vswitch,
    "an unknown CNI plugin, vRouter": of_a_virtual_router,
    "an unknown CNI plugin, macvlan": of_macvlan,
    "an unknown CNI plugin, L2 bridge": of_a_bridge_of_the_network,
    "kubenet": kubenet,
}
