"""OpenShift SDN behind Multus."""

from __future__ import annotations

from tests.checks.small_cluster import SmallCluster
from tests.network.building import (
    run_agent,
    set_filter,
    set_pod_addresses,
    set_up_host,
    set_up_pods,
)
from wirecheck.snapshot.cni_files import CniConfiguration, CniFiles, CniRuntime
from wirecheck.snapshot.netns import Address, Link, Route

FOLDER = "/etc/kubernetes/cni/net.d"


def openshift_sdn(small: SmallCluster) -> None:
    """Ports of Open vSwitch; each node has a HostSubnet, which podCIDRs do not show."""
    pods = ("10.128.0.4", "10.128.0.5")
    run_agent(small, "sdn")
    set_pod_addresses(small, *pods)
    multus = CniConfiguration(
        "00-multus.conf", "multus-cni-network", ["multus"], calls="80-openshift-network.conf"
    )
    sdn = CniConfiguration("80-openshift-network.conf", "openshift-sdn", ["openshift-sdn"])
    small.change_document(
        cni=CniFiles(
            [multus],
            ["multus", "openshift-sdn"],
            runtime=CniRuntime("crio", FOLDER, ["/var/lib/cni/bin", "/usr/libexec/cni"]),
            data_folders=["/var/lib/cni/networks"],
            delegated=[sdn],
        )
    )
    own = [
        Link(3, "ovs-system", flags=[], mtu=1500, kind="openvswitch"),
        Link(4, "br0", flags=[], mtu=1450, kind="openvswitch"),
        Link(5, "vxlan_sys_4789", flags=["UP", "LOWER_UP"], mtu=65000, kind="vxlan", master=3),
        Link(6, "tun0", flags=["UP", "LOWER_UP"], mtu=1450, kind="openvswitch"),
    ]
    sides = set_up_pods(small, "veth0d77", pods, length=23, gateway="10.128.0.1", master=3)
    set_up_host(
        small,
        [*own, *sides],
        [
            Route(4, "10.128.0.0/14", index=6, scope="link"),
            Route(4, "172.30.0.0/16", index=6),
        ],
        addresses=[Address(2, "192.0.2.1", 24), Address(6, "10.128.0.1", 23)],
    )
    set_filter(small, "", "", policy="ACCEPT")


CLUSTERS = {"OpenShift SDN": openshift_sdn}
