"""A small healthy cluster, made by hand: each test breaks one thing in it and names the finding.

One node that is looked at, with a DNS replica and a web pod on its bridge, and one that is known
by the API alone, over flannel's VXLAN. Whole runs use recorded clusters instead.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import dns.flags
import dns.message
import dns.rrset
from msgspec import convert
from msgspec.structs import replace

from wirecheck.catalogue import load
from wirecheck.findings import Finding
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.snapshot.api_objects import ApiObjects, Change
from wirecheck.snapshot.index import LookRecord, SnapshotIndex, VisitRecord
from wirecheck.snapshot.node_document import (
    Address,
    ConntrackSample,
    Fdb,
    Host,
    Link,
    Namespace,
    Neighbour,
    NodeDocument,
    PodFile,
    PodProcesses,
    Probe,
    Route,
    Try,
)

KUBERNETES = "kubernetes.default.svc.cluster.local A"
HOST, DNS_NETNS, WEB_NETNS = 1, 101, 102
RESOLV_CONF = """search {namespace}.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5
"""


def answer(question: str, *data: str) -> str:
    """A DNS answer to `NAME TYPE`, as a probe returns it."""
    name, _, kind = question.rpartition(" ")
    message = dns.message.make_response(dns.message.make_query(name, kind, id=0))
    if data:
        message.answer.append(dns.rrset.from_text(f"{name}.", 30, "IN", kind, *data))
    return base64.b64encode(message.to_wire()).decode()


def link(index: int, name: str, kind: str = "veth", **more: Any) -> Link:
    return Link(index, name, flags=["UP", "LOWER_UP"], mtu=1450, kind=kind, **more)


def port(index: int, name: str, nsid: int) -> Link:
    """A pod's node side, on the bridge."""
    return link(
        index, name, peer_index=2, peer_nsid=nsid, master=5, port_state=3, port_hairpin=True
    )


def pod_netns(inode: int, nsid: int, address: str, outer: int) -> Namespace:
    return Namespace(
        inode=inode,
        nsid=nsid,
        processes=2,
        links=[
            Link(1, "lo", flags=["LOOPBACK", "UP"], mtu=65536),
            link(2, "eth0", peer_index=outer, peer_nsid=0),
        ],
        addresses=[Address(2, address, 24)],
        routes=[Route(4, "default", gateway="10.244.0.1", index=2)],
        conntrack_count=10,
    )


def probe(inode: int, server: str, transport: str) -> Probe:
    tries = [Try(0.01, answer=answer(KUBERNETES, "10.96.0.1"))]
    return Probe(inode, "kubernetes", server, 53, transport, tries)


def api_pod(name: str, namespace: str, ip: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"00000000-0000-0000-0000-{name:0>12.12}",
            "labels": labels,
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
        "status": {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


MACS = {"n1": "0a:00:00:00:00:01", "n2": "0a:00:00:00:00:02"}


def api_node(name: str, address: str, range_: str) -> dict[str, Any]:
    notes = {
        "backend-type": "vxlan",
        "backend-data": f'{{"VNI":1,"VtepMAC":"{MACS[name]}"}}',
        "public-ip": address,
    }
    return {
        "metadata": {
            "name": name,
            "uid": f"node-{name}",
            "annotations": {f"flannel.alpha.coreos.com/{key}": v for key, v in notes.items()},
        },
        "spec": {"podCIDR": range_, "podCIDRs": [range_]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"kubeletVersion": "v1.34.4", "machineID": f"machine-{name}"},
        },
    }


def service(name: str, namespace: str, ip: str, ports: list[dict[str, Any]]) -> dict[str, Any]:
    selector = {"k8s-app": "kube-dns"} if name == "kube-dns" else {}
    spec = {
        "selector": selector,
        "clusterIP": ip,
        "clusterIPs": [ip],
        "ipFamilies": ["IPv4"],
        "ports": ports,
    }
    labels = {"k8s-app": "kube-dns"} if name == "kube-dns" else {}
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": spec}


def api() -> dict[str, Any]:
    """The API objects, as the API server would send them."""
    return {
        "nodes": [
            api_node("n1", "192.0.2.1", "10.244.0.0/24"),
            api_node("n2", "192.0.2.2", "10.244.1.0/24"),
        ],
        "pods": [
            api_pod("dns", "kube-system", "10.244.0.2", **{"k8s-app": "kube-dns"}),
            api_pod("web", "shop", "10.244.0.3", app="web"),
        ],
        "services": [
            service("kubernetes", "default", "10.96.0.1", [{"name": "https", "port": 443}]),
            service(
                "kube-dns",
                "kube-system",
                "10.96.0.10",
                [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                ],
            ),
        ],
        "endpointSlices": [
            {
                "metadata": {
                    "name": "kube-dns-1",
                    "namespace": "kube-system",
                    "labels": {"kubernetes.io/service-name": "kube-dns"},
                },
                "addressType": "IPv4",
                "endpoints": [
                    {
                        "addresses": ["10.244.0.2"],
                        "conditions": {"ready": True, "serving": True},
                        "nodeName": "n1",
                        "targetRef": {"kind": "Pod", "name": "dns", "namespace": "kube-system"},
                    }
                ],
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                ],
            }
        ],
    }


def document() -> NodeDocument:
    """What a visit to the healthy node returns."""
    uids = {name: f"00000000-0000-0000-0000-{name:0>12.12}" for name in ("dns", "web")}
    return NodeDocument(
        format=1,
        program="0",
        started=1000.0,
        finished=1002.0,
        host=Host("n1", cpus=2),
        namespaces=[
            Namespace(
                inode=HOST,
                processes=50,
                links=[
                    Link(2, "ens3", flags=["UP", "LOWER_UP"], mtu=1500),
                    link(4, "flannel.1", "vxlan", mac=MACS["n1"], vxlan_local="192.0.2.1"),
                    link(5, "cni0", "bridge"),
                    port(11, "veth11", 1),
                    port(12, "veth12", 2),
                ],
                addresses=[Address(2, "192.0.2.1", 24), Address(5, "10.244.0.1", 24)],
                routes=[
                    Route(4, "default", gateway="192.0.2.254", index=2),
                    Route(4, "192.0.2.0/24", index=2, scope="link", protocol=2),
                    Route(4, "10.244.0.0/24", index=5, scope="link", protocol=2),
                    Route(4, "10.244.1.0/24", gateway="10.244.1.0", index=4, onlink=True),
                ],
                neighbours=[Neighbour(4, "10.244.1.0", MACS["n2"], "PERMANENT")],
                fdb=[Fdb(4, MACS["n2"], "192.0.2.2", state="permanent")],
            ),
            pod_netns(DNS_NETNS, 1, "10.244.0.2", 11),
            pod_netns(WEB_NETNS, 2, "10.244.0.3", 12),
        ],
        pods=[
            PodProcesses(
                uids["dns"],
                DNS_NETNS,
                resolv_conf=PodFile(RESOLV_CONF.format(namespace="kube-system")),
            ),
            PodProcesses(
                uids["web"], WEB_NETNS, resolv_conf=PodFile(RESOLV_CONF.format(namespace="shop"))
            ),
        ],
        files={
            "/proc/sys/net/ipv4/ip_forward": "1",
            "/proc/sys/net/bridge/bridge-nf-call-iptables": "1",
            "/proc/sys/net/netfilter/nf_conntrack_max": "131072",
            "/proc/sys/net/netfilter/nf_conntrack_count": "1000",
        },
        probes=[
            probe(inode, server, transport)
            for inode, server in (
                (DNS_NETNS, "10.96.0.10"),
                (WEB_NETNS, "10.96.0.10"),
                (HOST, "10.96.0.10"),
                (HOST, "10.244.0.2"),
            )
            for transport in ("udp", "tcp")
        ],
        conntrack=[
            ConntrackSample(1000.0, {"drop": 5, "insert_failed": 2}),
            ConntrackSample(1002.0, {"drop": 5, "insert_failed": 2}),
        ],
    )


@dataclass
class SmallCluster:
    """The healthy cluster's parts, to be broken before they are judged."""

    api: dict[str, Any] = field(default_factory=api)
    document: NodeDocument | None = field(default_factory=document)
    visit: VisitRecord = field(default_factory=lambda: VisitRecord("seen"))
    changes: list[Change] = field(default_factory=list)
    thresholds: dict[str, float] = field(default_factory=dict)

    def change_document(self, **fields: Any) -> None:
        assert self.document
        self.document = replace(self.document, **fields)

    def change_netns(self, inode: int, **fields: Any) -> None:
        assert self.document
        self.change_document(
            namespaces=[
                replace(each, **fields) if each.inode == inode else each
                for each in self.document.namespaces
            ]
        )

    def change_link(self, inode: int, name: str, **fields: Any) -> None:
        assert self.document
        links = next(each.links for each in self.document.namespaces if each.inode == inode)
        self.change_netns(
            inode, links=[replace(x, **fields) if x.name == name else x for x in links]
        )

    def change_file(self, path: str, value: str | None) -> None:
        assert self.document
        files = {name: text for name, text in self.document.files.items() if name != path}
        self.change_document(files=files if value is None else {**files, path: value})

    def change_probes(self, inode: int, transport: str, tries: list[Try], server: str = "") -> None:
        assert self.document
        self.change_document(
            probes=[
                replace(each, tries=tries)
                if (each.inode, each.transport) == (inode, transport)
                and server in ("", each.server)
                else each
                for each in self.document.probes
            ]
        )

    @property
    def cluster(self) -> Cluster:
        index = SnapshotIndex(
            format=1,
            wirecheck="0",
            time=1000.0,
            thresholds=self.thresholds,
            queries={"kubernetes": KUBERNETES},
        )
        look = LookRecord(1000.0, 1002.0, visits={"n1": self.visit}, changes=self.changes)
        return Cluster(convert(self.api, ApiObjects), index, look)

    @property
    def node(self) -> Node:
        cluster = self.cluster
        return Node(cluster, cluster.nodes["n1"], self.visit, self.document)

    def findings(self, check_id: str) -> list[Finding]:
        """What the check finds; raises whatever it raises."""
        (check,) = [each for each in load() if each.id == check_id]
        return list(check.function(self.node if check.scope == "node" else self.cluster))
