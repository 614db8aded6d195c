"""kube-router without its Service proxy."""

from __future__ import annotations

from msgspec.structs import replace

from tests.checks.small_cluster import HOST, SmallCluster
from tests.network.building import UPLINK_ROUTES, run_agent, set_filter
from wirecheck.snapshot.netns import Route


def kube_router(small: SmallCluster) -> None:
    """A bridge as flannel's, BGP between the nodes."""
    run_agent(small, "kube-router")
    assert small.document
    links = [
        replace(each, name="kube-bridge") if each.name == "cni0" else each
        for each in small.document.namespaces[0].links
        if each.name != "flannel.1"
    ]
    small.change_netns(
        HOST,
        links=links,
        routes=[
            *UPLINK_ROUTES,
            Route(4, "10.244.0.0/24", index=5, scope="link", protocol=2),
            Route(4, "10.244.1.0/24", gateway="192.0.2.2", index=2, protocol=17),
        ],
        neighbours=[],
        fdb=[],
    )
    set_filter(
        small,
        ":KUBE-ROUTER-FORWARD - [0:0]",
        "-A FORWARD -j KUBE-ROUTER-FORWARD\n"
        "-A KUBE-ROUTER-FORWARD -o kube-bridge -j ACCEPT\n"
        "-A KUBE-ROUTER-FORWARD -i kube-bridge -j ACCEPT\n",
    )


CLUSTERS = {"kube-router": kube_router}
