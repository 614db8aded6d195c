"""Canal, as in RKE2."""

from __future__ import annotations

from msgspec.structs import replace

from tests.checks.small_cluster import HOST, SmallCluster
from tests.network.building import (
    UPLINK,
    UPLINK_ROUTES,
    routes_to_pods,
    set_cni_configuration,
    set_filter,
    set_up_pods,
)
from tests.network.clusters.calico import CHAINS, RULES
from wirecheck.snapshot.netns import Address, Route


def canal(small: SmallCluster) -> None:
    """A route to each pod as Calico's, addresses of the node's range, flannel's VXLAN."""
    pods = ("10.244.0.2", "10.244.0.3")
    small.api["pods"][2]["metadata"]["ownerReferences"][0]["name"] = "rke2-canal"
    assert small.document
    assert small.document.cni
    held = [
        replace(each, network="k8s-pod-network") for each in small.document.cni.reservations or []
    ]
    plugins = ["calico", "portmap", "bandwidth"]
    set_cni_configuration(small, "10-canal.conflist", plugins, ["host-local"])
    small.change_document(cni=replace(small.document.cni, reservations=held))
    tunnel = next(each for each in small.document.namespaces[0].links if each.name == "flannel.1")
    sides = set_up_pods(small, "cali0d7763", pods, length=32, gateway="169.254.1.1")
    small.change_netns(
        HOST,
        links=[UPLINK, tunnel, *sides],
        addresses=[Address(2, "192.0.2.1", 24), Address(4, "10.244.0.0", 32)],
        routes=[
            *UPLINK_ROUTES,
            *routes_to_pods(pods),
            Route(4, "10.244.1.0/24", gateway="10.244.1.0", index=4, onlink=True),
        ],
    )
    for each in sides:
        small.change_file(f"/proc/sys/net/ipv4/conf/{each.name}/rp_filter", "0")
    set_filter(small, CHAINS, RULES, policy="ACCEPT")


CLUSTERS = {"Canal": canal}
