"""Azure CNI in its transparent mode, the default of AKS on Linux."""

from __future__ import annotations

from tests.checks.small_cluster import SmallCluster
from tests.network.building import (
    routes_to_pods,
    run_agent,
    set_cni_configuration,
    set_filter,
    set_pod_addresses,
    set_up_host,
    set_up_pods,
)


def azure(small: SmallCluster) -> None:
    """Pods have addresses of the virtual network, and the node has a route for each."""
    pods = ("192.0.2.81", "192.0.2.82")
    run_agent(small, "azure-cns")
    set_pod_addresses(small, *pods)
    for node in small.api["nodes"]:
        node["spec"] = {}
    set_cni_configuration(small, "10-azure.conflist", ["azure-vnet", "portmap"], ["azure-cns"])
    sides = set_up_pods(small, "azv0d7763", pods, length=32, gateway="169.254.1.1")
    set_up_host(small, sides, routes_to_pods(pods))
    set_filter(small, "", "", policy="ACCEPT")


CLUSTERS = {"Azure CNI": azure}
