"""kindnet, as in kind."""

from __future__ import annotations

from msgspec.structs import replace

from tests.checks.small_cluster import SmallCluster
from tests.network.building import (
    routes_to_pods,
    run_agent,
    set_cni_configuration,
    set_filter,
    set_up_host,
    set_up_pods,
)
from wirecheck.snapshot.netns import Address, Route


def kindnet(small: SmallCluster) -> None:
    """A route to each pod by its own veth, which carries the gateway's address each time."""
    pods = ("10.244.0.2", "10.244.0.3")
    run_agent(small, "kindnet")
    assert small.document
    assert small.document.cni
    held = small.document.cni.reservations
    set_cni_configuration(small, "10-kindnet.conflist", ["ptp", "portmap"], ["host-local"])
    small.change_document(cni=replace(small.document.cni, reservations=held))
    sides = set_up_pods(small, "veth", pods, length=24, gateway="10.244.0.1")
    set_up_host(
        small,
        sides,
        [*routes_to_pods(pods), Route(4, "10.244.1.0/24", gateway="192.0.2.2", index=2)],
        addresses=[
            Address(2, "192.0.2.1", 24),
            Address(11, "10.244.0.1", 32),
            Address(12, "10.244.0.1", 32),
        ],
    )
    set_filter(small, "", "", policy="ACCEPT")


CLUSTERS = {"kindnet": kindnet}
