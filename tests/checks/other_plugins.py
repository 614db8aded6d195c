"""The small cluster as other CNI plugins would have wired it, from their documentation and source.

None of them was recorded: names of devices, routes, rules and chains are what the projects
document for their default settings. flannel, which the test cluster runs, is judged on recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from wirecheck.snapshot.netns import Address, Fdb, Link, Neighbour, Route, Rule

BIRD, VXLAN_AGENT = 12, 80
"""Route protocols of Calico's BGP daemon and of its VXLAN agent."""

UPLINK = Link(2, "ens3", flags=["UP", "LOWER_UP"], mtu=1500)
UPLINK_ROUTES = [
    Route(4, "default", gateway="192.0.2.254", index=2),
    Route(4, "192.0.2.0/24", index=2, scope="link", protocol=2),
]
PODS = {DNS_NETNS: "dns", WEB_NETNS: "web"}


def _brought_by(small: SmallCluster, daemonset: str) -> None:
    agent = small.api["pods"][2]
    agent["metadata"]["ownerReferences"][0]["name"] = daemonset
    for node in small.api["nodes"]:
        node["metadata"]["annotations"] = {}


def _addressed(small: SmallCluster, dns: str, web: str) -> None:
    """Gives the pods other addresses, in the API as well as in the probes."""
    for pod, address in zip(small.api["pods"], (dns, web), strict=False):
        pod["status"] |= {"podIP": address, "podIPs": [{"ip": address}]}
    small.api["endpointSlices"][0]["endpoints"][0]["addresses"] = [dns]
    assert small.document
    probes = [
        replace(each, server=dns) if each.server == "10.244.0.2" else each
        for each in small.document.probes
    ]
    small.change_document(probes=probes)


def _configured(small: SmallCluster, file: str, plugins: list[str], ipam: list[str]) -> None:
    """No host-local files: these plugins keep their books elsewhere."""
    configuration = CniConfiguration(file, "k8s-pod-network", plugins, ipam)
    small.change_document(cni=CniFiles([configuration], [*plugins, *ipam, "loopback"]))


def _wired(
    small: SmallCluster,
    prefix: str,
    pods: Sequence[str],
    *,
    length: int,
    gateway: str,
    kind: str = "veth",
    **outer: Any,
) -> list[Link]:
    """Wires both pods again; returns the node sides, `PREFIXdns` and `PREFIXweb`."""
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


def _to_pods(pods: Sequence[str]) -> list[Route]:
    return [Route(4, f"{pod}/32", index=11 + n, scope="link") for n, pod in enumerate(pods)]


def _host(small: SmallCluster, links: list[Link], routes: list[Route], **more: Any) -> None:
    fields = {"addresses": [Address(2, "192.0.2.1", 24)], "neighbours": [], "fdb": []}
    small.change_netns(
        HOST, links=[UPLINK, *links], routes=[*UPLINK_ROUTES, *routes], **(fields | more)
    )
    for each in (UPLINK, *links):
        small.change_file(f"/proc/sys/net/ipv4/conf/{each.name}/rp_filter", "0")


def _filtered(small: SmallCluster, chains: str, rules: str, policy: str = "DROP") -> None:
    """Table filter without flannel's chain and with the plugin's."""
    text = FILTER.replace(":FORWARD DROP", f":FORWARD {policy}")
    kept = [each for each in text.splitlines() if "FLANNEL" not in each]
    place = kept.index(f":FORWARD {policy} [0:0]") + 1
    kept[place:place] = chains.split("\n")
    kept[kept.index("COMMIT") : kept.index("COMMIT")] = rules.split("\n")
    small.change_output("iptables-nft-save", "".join(f"{each}\n" for each in kept if each))


CALICO_CHAINS = """
:cali-FORWARD - [0:0]
:cali-cidr-block - [0:0]
:cali-from-wl-dispatch - [0:0]
:cali-fw-cali0d7763dns - [0:0]
:cali-fw-cali0d7763web - [0:0]
:cali-pri-kns.all - [0:0]
:cali-to-wl-dispatch - [0:0]
:cali-tw-cali0d7763dns - [0:0]
:cali-tw-cali0d7763web - [0:0]
"""
_CALICO_FORWARD = """
-A FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD
-A FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A FORWARD -m comment --comment "cali:mp77cMpurHhyjLrM" -j MARK --set-xmark 0x10000/0x10000
-A cali-FORWARD -m comment --comment "cali:vjrMJCRpqwy5oRoX" -j MARK --set-xmark 0x0/0xe0000
-A cali-FORWARD -i cali+ -m comment --comment "cali:8ZoYfO5HKXWbB3pk" -j cali-from-wl-dispatch
-A cali-FORWARD -o cali+ -m comment --comment "cali:jdEuaPBe14V2hutn" -j cali-to-wl-dispatch
-A cali-FORWARD -m comment --comment "cali:9CzV9RgXVHLkjFaL" -j cali-cidr-block
-A cali-pri-kns.all -m comment --comment "cali:WMSw8BmYOknRHfsz" -j MARK --set-xmark 0x10000/0x10000
-A cali-pri-kns.all -m mark --mark 0x10000/0x10000 -j RETURN
"""
_CALICO_ENDPOINT = """
-A cali-{way}-wl-dispatch {option} {device} -g cali-{short}-{device}
-A cali-{short}-{device} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-{short}-{device} -m conntrack --ctstate INVALID -j DROP
-A cali-{short}-{device} -j MARK --set-xmark 0x0/0x30000
-A cali-{short}-{device} -j cali-pri-kns.all
-A cali-{short}-{device} -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-{short}-{device} -m comment --comment "Drop if no profiles matched" -j DROP
"""
_CALICO_UNKNOWN = """
-A cali-{way}-wl-dispatch -m comment --comment "Unknown interface" -j DROP
"""
CALICO_RULES = _CALICO_FORWARD + "".join(
    "".join(
        _CALICO_ENDPOINT.format(way=way, option=option, short=short, device=f"cali0d7763{pod}")
        for pod in PODS.values()
    )
    + _CALICO_UNKNOWN.format(way=way)
    for way, option, short in (("from", "-i", "fw"), ("to", "-o", "tw"))
)
CALICO_PODS = ("192.168.74.2", "192.168.74.3")


def calico_vxlan(small: SmallCluster) -> None:
    """Blocks of a pool instead of podCIDRs, a /32 route for each pod, a VXLAN to the others."""
    _brought_by(small, "calico-node")
    _addressed(small, *CALICO_PODS)
    _configured(small, "10-calico.conflist", ["calico", "bandwidth", "portmap"], ["calico-ipam"])
    sides = _wired(small, "cali0d7763", CALICO_PODS, length=32, gateway="169.254.1.1")
    tunnel = link(4, "vxlan.calico", "vxlan", mac="66:00:00:00:00:01", vxlan_local="192.0.2.1")
    _host(
        small,
        [tunnel, *sides],
        [
            *_to_pods(CALICO_PODS),
            Route(4, "192.168.74.0/26", type="blackhole", protocol=VXLAN_AGENT),
            Route(
                4,
                "192.168.55.0/26",
                gateway="192.168.55.0",
                index=4,
                onlink=True,
                protocol=VXLAN_AGENT,
            ),
        ],
        addresses=[Address(2, "192.0.2.1", 24), Address(4, "192.168.74.0", 32)],
        neighbours=[Neighbour(4, "192.168.55.0", "66:00:00:00:00:02", "PERMANENT")],
        fdb=[Fdb(4, "66:00:00:00:00:02", "192.0.2.2", state="permanent")],
    )
    _filtered(small, CALICO_CHAINS, CALICO_RULES)


def calico_bgp(small: SmallCluster) -> None:
    """Without an overlay: the other nodes are the gateways, an idle tunl0 stands by."""
    calico_vxlan(small)
    sides = _wired(small, "cali0d7763", CALICO_PODS, length=32, gateway="169.254.1.1")
    _host(
        small,
        [Link(3, "tunl0", flags=["NOARP"], mtu=1480, kind="ipip"), *sides],
        [
            *_to_pods(CALICO_PODS),
            Route(4, "192.168.74.0/26", type="blackhole", protocol=BIRD),
            Route(4, "192.168.55.0/26", gateway="192.0.2.2", index=2, protocol=BIRD),
        ],
    )


def aws_vpc(small: SmallCluster) -> None:
    """Pods in the nodes' own network; what a second network card carries leaves by its table."""
    pods = ("192.0.2.71", "192.0.2.72")
    _brought_by(small, "aws-node")
    _addressed(small, *pods)
    for node in small.api["nodes"]:
        node["spec"] = {}
    plugins = ["aws-cni", "egress-cni", "portmap"]
    _configured(small, "10-aws.conflist", plugins, [])
    sides = _wired(small, "eni0d7763", pods, length=32, gateway="169.254.1.1")
    second = Link(3, "ens4", flags=["UP", "LOWER_UP"], mtu=9001)
    _host(
        small,
        [second, *sides],
        [
            *_to_pods(pods),
            Route(4, "default", table=2, gateway="192.0.2.254", index=3),
            Route(4, "192.0.2.254/32", table=2, index=3, scope="link"),
        ],
        addresses=[Address(2, "192.0.2.1", 24), Address(3, "192.0.2.70", 24)],
        rules=[
            Rule(4, 0, 255),
            Rule(4, 512, 254, destination=f"{pods[0]}/32"),
            Rule(4, 512, 254, destination=f"{pods[1]}/32"),
            Rule(4, 1024, 254, mark="0x80/0x80"),
            Rule(4, 1536, 2, source=f"{pods[1]}/32"),
            Rule(4, 32766, 254),
            Rule(4, 32767, 253),
        ],
    )
    _filtered(small, "", "", policy="ACCEPT")


def cilium(small: SmallCluster, kind: str = "veth") -> None:
    """eBPF on the devices: no bridge, no route to a pod, Services without kube-proxy."""
    pods = ("10.0.0.21", "10.0.0.22")
    _brought_by(small, "cilium")
    _addressed(small, *pods)
    small.api["configMaps"] = [
        {
            "metadata": {"name": "cilium-config", "namespace": "kube-system"},
            "data": {"kube-proxy-replacement": "true"},
        }
    ]
    _configured(small, "05-cilium.conflist", ["cilium-cni"], [])
    sides = _wired(small, "lxc", pods, length=32, gateway="10.0.0.10", kind=kind)
    own = [
        link(3, "cilium_net", peer_index=4, mac="0e:00:00:00:00:03"),
        link(4, "cilium_host", peer_index=3, mac="0e:00:00:00:00:04"),
        link(5, "cilium_vxlan", "vxlan"),
    ]
    _host(
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
    _filtered(
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


def _on_open_vswitch(small: SmallCluster, prefix: str, gateway_device: str) -> None:
    pods = ("10.244.0.2", "10.244.0.3")
    switch = Link(3, "ovs-system", flags=[], mtu=1500, kind="openvswitch")
    gateway = Link(4, gateway_device, flags=["UP", "LOWER_UP"], mtu=1450, kind="openvswitch")
    sides = _wired(small, prefix, pods, length=24, gateway="10.244.0.1", master=3)
    _host(
        small,
        [switch, gateway, *sides],
        [
            Route(4, "10.244.0.0/24", index=4, scope="link", protocol=2),
            Route(4, "10.244.1.0/24", gateway="10.244.1.1", index=4, onlink=True),
        ],
        addresses=[Address(2, "192.0.2.1", 24), Address(4, "10.244.0.1", 24)],
    )


def antrea(small: SmallCluster) -> None:
    """Ports of Open vSwitch, in the node's range; kube-proxy as ever."""
    _brought_by(small, "antrea-agent")
    assert small.document
    assert small.document.cni
    held = small.document.cni.reservations
    _configured(small, "10-antrea.conflist", ["antrea", "portmap", "bandwidth"], ["host-local"])
    small.change_document(cni=replace(small.document.cni, reservations=held))
    _on_open_vswitch(small, "web-0a1b-", "antrea-gw0")
    _filtered(
        small,
        ":ANTREA-FORWARD - [0:0]",
        "-A FORWARD -j ANTREA-FORWARD\n"
        "-A ANTREA-FORWARD -i antrea-gw0 -j ACCEPT\n"
        "-A ANTREA-FORWARD -o antrea-gw0 -j ACCEPT\n",
    )


def ovn_kubernetes(small: SmallCluster) -> None:
    """Ports of Open vSwitch, Services as OVN load balancers."""
    _brought_by(small, "ovnkube-node")
    _configured(small, "10-ovn-kubernetes.conf", ["ovn-k8s-cni-overlay"], [])
    _on_open_vswitch(small, "0a1b2c3d4e5f", "ovn-k8s-mp0")
    _filtered(
        small,
        "",
        "-A FORWARD -i ovn-k8s-mp0 -j ACCEPT\n-A FORWARD -o ovn-k8s-mp0 -j ACCEPT\n",
    )


def kindnet(small: SmallCluster) -> None:
    """A route to each pod by its own veth, which carries the gateway's address each time."""
    pods = ("10.244.0.2", "10.244.0.3")
    _brought_by(small, "kindnet")
    assert small.document
    assert small.document.cni
    held = small.document.cni.reservations
    _configured(small, "10-kindnet.conflist", ["ptp", "portmap"], ["host-local"])
    small.change_document(cni=replace(small.document.cni, reservations=held))
    sides = _wired(small, "veth", pods, length=24, gateway="10.244.0.1")
    _host(
        small,
        sides,
        [*_to_pods(pods), Route(4, "10.244.1.0/24", gateway="192.0.2.2", index=2)],
        addresses=[
            Address(2, "192.0.2.1", 24),
            Address(11, "10.244.0.1", 32),
            Address(12, "10.244.0.1", 32),
        ],
    )
    _filtered(small, "", "", policy="ACCEPT")


def kube_router(small: SmallCluster) -> None:
    """A bridge as flannel's, BGP between the nodes."""
    _brought_by(small, "kube-router")
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
    _filtered(
        small,
        ":KUBE-ROUTER-FORWARD - [0:0]",
        "-A FORWARD -j KUBE-ROUTER-FORWARD\n"
        "-A KUBE-ROUTER-FORWARD -o kube-bridge -j ACCEPT\n"
        "-A KUBE-ROUTER-FORWARD -i kube-bridge -j ACCEPT\n",
    )


PLUGINS: dict[str, Callable[[SmallCluster], None]] = {
    "Calico, VXLAN": calico_vxlan,
    "Calico, BGP": calico_bgp,
    "AWS VPC CNI": aws_vpc,
    "Cilium": cilium,
    "Cilium, netkit": cilium_netkit,
    "Antrea": antrea,
    "OVN-Kubernetes": ovn_kubernetes,
    "kindnet": kindnet,
    "kube-router": kube_router,
}
