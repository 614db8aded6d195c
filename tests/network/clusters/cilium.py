"""Cilium without kube-proxy, on veth and on netkit pairs."""

from __future__ import annotations

from tests.checks.small_cluster import HOST, SmallCluster, link
from tests.network.building import (
    run_agent,
    set_cni_configuration,
    set_filter,
    set_pod_addresses,
    set_up_host,
    set_up_pods,
)
from wirecheck.snapshot.netns import Address, DeviceProgram, Route, Rule


def cilium(small: SmallCluster, kind: str = "veth") -> None:
    """eBPF on the devices: no bridge, no route to a pod, Services without kube-proxy."""
    pods = ("10.0.0.21", "10.0.0.22")
    run_agent(small, "cilium")
    set_pod_addresses(small, *pods)
    small.api["configMaps"] = [
        {
            "metadata": {"name": "cilium-config", "namespace": "kube-system"},
            "data": {"kube-proxy-replacement": "true"},
        }
    ]
    set_cni_configuration(small, "05-cilium.conflist", ["cilium-cni"], [])
    sides = set_up_pods(small, "lxc", pods, length=32, gateway="10.0.0.10", kind=kind)
    own = [
        link(3, "cilium_net", peer_index=4, mac="0e:00:00:00:00:03"),
        link(4, "cilium_host", peer_index=3, mac="0e:00:00:00:00:04"),
        link(5, "cilium_vxlan", "vxlan"),
    ]
    set_up_host(
        small,
        [*own, *sides],
        [
            Route(4, "10.0.0.0/24", gateway="10.0.0.10", index=4),
            Route(4, "10.0.1.0/24", gateway="10.0.0.10", index=4),
            Route(4, "10.0.0.10/32", index=4, scope="link"),
        ],
        addresses=[Address(2, "192.0.2.1", 24), Address(4, "10.0.0.10", 32)],
        rules=[Rule(4, 9, 2004, mark="0x200/0xf00"), Rule(4, 100, 255), Rule(4, 32766, 254)],
    )
    hook = "netkit peer" if kind == "netkit" else "tcx ingress"
    programs = [
        DeviceProgram(each.index, hook, "bpf", "cil_from_contai", 40 + each.index) for each in sides
    ]
    small.change_netns(HOST, programs=programs)
    set_filter(
        small,
        ":CILIUM_FORWARD - [0:0]",
        "-A FORWARD -j CILIUM_FORWARD\n"
        "-A CILIUM_FORWARD -o cilium_host -j ACCEPT\n"
        "-A CILIUM_FORWARD -i cilium_host -j ACCEPT\n"
        "-A CILIUM_FORWARD -i lxc+ -j ACCEPT\n",
    )


def cilium_netkit(small: SmallCluster) -> None:
    """Kernel 6.8 and later: netkit pairs in the place of veth pairs."""
    cilium(small, "netkit")


CLUSTERS = {"Cilium": cilium, "Cilium, netkit": cilium_netkit}
