"""Antrea with kube-proxy."""

from __future__ import annotations

from msgspec.structs import replace

from tests.checks.small_cluster import SmallCluster
from tests.network.building import put_on_open_vswitch, run_agent, set_cni_configuration, set_filter


def antrea(small: SmallCluster) -> None:
    """Ports of Open vSwitch, in the node's range; kube-proxy as ever."""
    run_agent(small, "antrea-agent")
    assert small.document
    assert small.document.cni
    held = small.document.cni.reservations
    set_cni_configuration(
        small, "10-antrea.conflist", ["antrea", "portmap", "bandwidth"], ["host-local"]
    )
    small.change_document(cni=replace(small.document.cni, reservations=held))
    put_on_open_vswitch(small, "web-0a1b-", "antrea-gw0")
    set_filter(
        small,
        ":ANTREA-FORWARD - [0:0]",
        "-A FORWARD -j ANTREA-FORWARD\n"
        "-A ANTREA-FORWARD -i antrea-gw0 -j ACCEPT\n"
        "-A ANTREA-FORWARD -o antrea-gw0 -j ACCEPT\n",
    )


CLUSTERS = {"Antrea": antrea}
