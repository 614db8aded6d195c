"""Kube-OVN with its default subnet, which spans all nodes."""

from __future__ import annotations

from tests.checks.small_cluster import HOST, SmallCluster
from tests.network.building import (
    UPLINK,
    UPLINK_ROUTES,
    run_agent,
    set_cni_configuration,
    set_filter,
    set_pod_addresses,
    set_up_host,
    set_up_pods,
)
from wirecheck.snapshot.netns import Address, Link, Route


def kube_ovn(small: SmallCluster) -> None:
    """Ports of Open vSwitch, one subnet for all nodes: podCIDRs mean nothing."""
    pods = ("10.244.0.4", "10.244.7.9")
    run_agent(small, "kube-ovn-cni")
    set_pod_addresses(small, *pods)
    set_cni_configuration(small, "01-kube-ovn.conflist", ["kube-ovn", "portmap"], [])
    own = [
        Link(3, "ovs-system", flags=[], mtu=1500, kind="openvswitch"),
        Link(4, "ovn0", flags=["UP", "LOWER_UP"], mtu=1400, kind="openvswitch"),
        Link(5, "genev_sys_6081", flags=["UP", "LOWER_UP"], mtu=65000, kind="geneve", master=3),
    ]
    sides = set_up_pods(small, "f2548_", pods, length=16, gateway="10.244.0.1", master=3)
    set_up_host(small, [*own, *sides], [])
    small.change_netns(
        HOST,
        links=[UPLINK, *own, *sides],
        addresses=[Address(2, "192.0.2.1", 24), Address(4, "100.64.0.2", 16)],
        routes=[
            *UPLINK_ROUTES,
            Route(4, "10.244.0.0/16", gateway="100.64.0.1", index=4, source="192.0.2.1"),
            Route(4, "100.64.0.0/16", index=4, scope="link", protocol=2),
        ],
    )
    # br_netfilter is not needed without a bridge.
    small.change_file("/proc/sys/net/bridge/bridge-nf-call-iptables", None)
    set_filter(small, "", "", policy="ACCEPT")


def of_another_name(small: SmallCluster) -> None:
    """The same from a chart that calls the DaemonSet otherwise: the device shows the plugin."""
    kube_ovn(small)
    run_agent(small, "acme-network-agent")


CLUSTERS = {"Kube-OVN": kube_ovn, "Kube-OVN, unknown DaemonSet": of_another_name}
