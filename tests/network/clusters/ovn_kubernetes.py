"""OVN-Kubernetes."""

from __future__ import annotations

from tests.checks.small_cluster import SmallCluster
from tests.network.building import put_on_open_vswitch, run_agent, set_cni_configuration, set_filter


def ovn_kubernetes(small: SmallCluster) -> None:
    """Ports of Open vSwitch, Services as OVN load balancers."""
    run_agent(small, "ovnkube-node")
    set_cni_configuration(small, "10-ovn-kubernetes.conf", ["ovn-k8s-cni-overlay"], [])
    put_on_open_vswitch(small, "0a1b2c3d4e5f", "ovn-k8s-mp0")
    set_filter(
        small,
        "",
        "-A FORWARD -i ovn-k8s-mp0 -j ACCEPT\n-A FORWARD -o ovn-k8s-mp0 -j ACCEPT\n",
    )


CLUSTERS = {"OVN-Kubernetes": ovn_kubernetes}
