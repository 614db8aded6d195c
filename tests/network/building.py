"""The parts from which tests build clusters of other CNI plugins, on top of the small cluster.

No such cluster was recorded: names of devices, routes, rules and chains are what the projects
document for their default settings. flannel, which the test cluster runs, is tested on recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from tests.checks.small_cluster import (
    DNS_NETNS,
    FILTER,
    HOST,
    WEB_NETNS,
    SmallCluster,
    link,
    pod_netns,
)
from wirecheck.snapshot.cni_files import CniConfiguration, CniFiles
from wirecheck.snapshot.netns import Address, Link, Neighbour, Route

UPLINK = Link(2, "ens3", flags=["UP", "LOWER_UP"], mtu=1500)
UPLINK_ROUTES = [
    Route(4, "default", gateway="192.0.2.254", index=2),
    Route(4, "192.0.2.0/24", index=2, scope="link", protocol=2),
]
PODS = {DNS_NETNS: "dns", WEB_NETNS: "web"}


def run_agent(small: SmallCluster, daemonset: str) -> None:
    """Runs the plugin's agent instead of flannel's, and removes flannel's annotations."""
    agent = small.api["pods"][2]
    agent["metadata"]["ownerReferences"][0]["name"] = daemonset
    for node in small.api["nodes"]:
        node["metadata"]["annotations"] = {}


def set_pod_addresses(small: SmallCluster, dns: str, web: str) -> None:
    """Gives the pods other addresses, in the API and in the probes."""
    for pod, address in zip(small.api["pods"], (dns, web), strict=False):
        pod["status"] |= {"podIP": address, "podIPs": [{"ip": address}]}
    small.api["endpointSlices"][0]["endpoints"][0]["addresses"] = [dns]
    assert small.document
    probes = [
        replace(each, server=dns) if each.server == "10.244.0.2" else each
        for each in small.document.probes
    ]
    small.change_document(probes=probes)


def set_cni_configuration(
    small: SmallCluster, file: str, plugins: list[str], ipam: list[str]
) -> None:
    """Sets the CNI configuration, without files of host-local."""
    configuration = CniConfiguration(file, "k8s-pod-network", plugins, ipam)
    small.change_document(cni=CniFiles([configuration], [*plugins, *ipam, "loopback"]))


def set_up_pods(
    small: SmallCluster,
    prefix: str,
    pods: Sequence[str],
    *,
    length: int,
    gateway: str,
    kind: str = "veth",
    **outer: Any,
) -> list[Link]:
    """Sets up both pods; returns the node's ends of their pairs, `PREFIXdns` and `PREFIXweb`."""
    sides = []
    for number, (inode, address) in enumerate(zip(PODS, pods, strict=True), start=1):
        netns = pod_netns(inode, number, address, 10 + number)
        small.change_netns(
            inode,
            links=[
                replace(each, kind=kind) if each.name == "eth0" else each for each in netns.links
            ],
            addresses=[Address(2, address, length)],
            routes=[
                Route(4, gateway, index=2, scope="link"),
                Route(4, "default", gateway=gateway, index=2),
            ],
            neighbours=[Neighbour(2, gateway, "ee:ee:ee:ee:ee:ee", "PERMANENT")],
        )
        name = f"{prefix}{PODS[inode]}"
        sides.append(link(10 + number, name, kind, peer_index=2, peer_nsid=number, **outer))
    return sides


def routes_to_pods(pods: Sequence[str]) -> list[Route]:
    return [Route(4, f"{pod}/32", index=11 + n, scope="link") for n, pod in enumerate(pods)]


def set_up_host(small: SmallCluster, links: list[Link], routes: list[Route], **more: Any) -> None:
    fields = {"addresses": [Address(2, "192.0.2.1", 24)], "neighbours": [], "fdb": []}
    small.change_netns(
        HOST, links=[UPLINK, *links], routes=[*UPLINK_ROUTES, *routes], **(fields | more)
    )
    for each in (UPLINK, *links):
        small.change_file(f"/proc/sys/net/ipv4/conf/{each.name}/rp_filter", "0")


def set_filter(small: SmallCluster, chains: str, rules: str, policy: str = "DROP") -> None:
    """Replaces flannel's chain in the filter table by the plugin's chains and rules."""
    text = FILTER.replace(":FORWARD DROP", f":FORWARD {policy}")
    kept = [each for each in text.splitlines() if "FLANNEL" not in each]
    place = kept.index(f":FORWARD {policy} [0:0]") + 1
    kept[place:place] = chains.split("\n")
    kept[kept.index("COMMIT") : kept.index("COMMIT")] = rules.split("\n")
    small.change_output("iptables-nft-save", "".join(f"{each}\n" for each in kept if each))


def put_on_open_vswitch(small: SmallCluster, prefix: str, gateway_device: str) -> None:
    pods = ("10.244.0.2", "10.244.0.3")
    switch = Link(3, "ovs-system", flags=[], mtu=1500, kind="openvswitch")
    gateway = Link(4, gateway_device, flags=["UP", "LOWER_UP"], mtu=1450, kind="openvswitch")
    sides = set_up_pods(small, prefix, pods, length=24, gateway="10.244.0.1", master=3)
    set_up_host(
        small,
        [switch, gateway, *sides],
        [
            Route(4, "10.244.0.0/24", index=4, scope="link", protocol=2),
            Route(4, "10.244.1.0/24", gateway="10.244.1.1", index=4, onlink=True),
        ],
        addresses=[Address(2, "192.0.2.1", 24), Address(4, "10.244.0.1", 24)],
    )
