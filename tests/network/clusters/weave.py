"""Weave Net with its fast datapath."""

from __future__ import annotations

from tests.checks.small_cluster import SmallCluster, link, port
from tests.network.building import (
    PODS,
    run_agent,
    set_cni_configuration,
    set_filter,
    set_pod_addresses,
    set_up_host,
    set_up_pods,
)
from wirecheck.snapshot.netns import Address, Link, Route


def weave(small: SmallCluster) -> None:
    """One bridge for the pods of all nodes, joined to a switch by a pair of its own."""
    pods = ("10.32.0.2", "10.32.0.3")
    run_agent(small, "weave-net")
    set_pod_addresses(small, *pods)
    set_cni_configuration(small, "10-weave.conflist", ["weave-net", "portmap"], [])
    set_up_pods(small, "vethwepl", pods, length=12, gateway="10.32.0.1")
    sides = [port(10 + n, f"vethwepl{name}", n) for n, name in enumerate(PODS.values(), start=1)]
    own = [
        Link(3, "datapath", flags=["UP", "LOWER_UP"], mtu=1376, kind="openvswitch"),
        link(5, "weave", "bridge"),
        link(6, "vethwe-datapath", peer_index=7, master=3),
        link(7, "vethwe-bridge", peer_index=6, master=5),
        Link(8, "vxlan-6784", flags=["UP", "LOWER_UP"], mtu=65535, kind="vxlan", master=3),
    ]
    set_up_host(
        small,
        [*own, *sides],
        [Route(4, "10.32.0.0/12", index=5, scope="link", protocol=2)],
        addresses=[Address(2, "192.0.2.1", 24), Address(5, "10.32.0.1", 12)],
    )
    set_filter(small, "", "", policy="ACCEPT")


CLUSTERS = {"Weave Net": weave}
