"""The kernel is the referee: real connections between pods on a bridge, one thing changed each."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import msgspec
import pytest

from tests.collect.on_node.conftest import FakeNode, plan
from wirecheck.inspect.trace import trace_view
from wirecheck.inspect.trace_view import TraceView
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.paths.ends import destinations, named
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex, VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import NodeDocument

MakeNode = Callable[..., FakeNode]
CONNECT = "import socket; socket.create_connection(('10.244.0.2', {port}), 0.7)"
CLIENT, WEB = ("ip", "-n", "client"), ("ip", "-n", "web")
WRONG = ("lladdr", "02:00:00:00:00:99", "nud", "permanent")
BLOCKED = ("src", "10.244.0.3", "dst", "10.244.0.2", "dir", "out")
Words = tuple[str, ...]

CHANGES: dict[str, tuple[Words, Words]] = {
    "nothing": (("true",), ("true",)),
    "one isolated port": (
        ("bridge", "link", "set", "dev", "veth2", "isolated", "on"),
        ("bridge", "link", "set", "dev", "veth2", "isolated", "off"),
    ),
    "a blackhole route": (
        (*CLIENT, "route", "add", "blackhole", "10.244.0.2/32"),
        (*CLIENT, "route", "del", "blackhole", "10.244.0.2/32"),
    ),
    "a permanent wrong neighbour": (
        (*CLIENT, "neigh", "replace", "10.244.0.2", "dev", "eth0", *WRONG),
        (*CLIENT, "neigh", "del", "10.244.0.2", "dev", "eth0"),
    ),
    "a permanent wrong neighbour of the answer": (
        (*WEB, "neigh", "replace", "10.244.0.3", "dev", "eth0", *WRONG),
        (*WEB, "neigh", "del", "10.244.0.3", "dev", "eth0"),
    ),
    "a pair that is down": (
        ("ip", "link", "set", "veth2", "down"),
        ("ip", "link", "set", "veth2", "up"),
    ),
    "an address that is not there": (
        (*WEB, "address", "del", "10.244.0.2/24", "dev", "eth0"),
        (*WEB, "address", "add", "10.244.0.2/24", "dev", "eth0"),
    ),
    "a route that refuses the answer": (
        (*WEB, "route", "add", "unreachable", "10.244.0.3/32"),
        (*WEB, "route", "del", "unreachable", "10.244.0.3/32"),
    ),
    "an IPsec policy that blocks": (
        (*CLIENT, "xfrm", "policy", "add", *BLOCKED, "action", "block"),
        (*CLIENT, "xfrm", "policy", "del", *BLOCKED),
    ),
    "a pod that answers no ARP": (
        ("sh", "-c", "ip netns exec web sysctl -qw net.ipv4.conf.eth0.arp_ignore=8"
                     " && ip -n client neigh flush all"),
        ("ip", "netns", "exec", "web", "sysctl", "-qw", "net.ipv4.conf.eth0.arp_ignore=0"),
    ),
    "both ports are isolated": (
        ("sh", "-c", "for port in veth2 veth3; do bridge link set dev $port isolated on; done"),
        ("sh", "-c", "for port in veth2 veth3; do bridge link set dev $port isolated off; done"),
    ),
}  # fmt: skip


class OneNode:
    """A scene of one node, whose document a visit has just returned."""

    def __init__(self, node: FakeNode, document: NodeDocument) -> None:
        pods = [
            {
                "metadata": {"name": name, "namespace": "shop", "uid": uid},
                "spec": {"nodeName": "n1"},
                "status": {"phase": "Running", "podIPs": [{"ip": f"10.244.0.{number}"}]},
            }
            for number, (name, uid) in enumerate(node.uids.items(), start=2)
        ]
        api = msgspec.convert({"nodes": [{"metadata": {"name": "n1"}}], "pods": pods}, ApiObjects)
        visit = VisitRecord(VisitStatus.SEEN)
        index = SnapshotIndex(format=1, wirecheck="test", time=0.0)
        self.cluster = Cluster(api, index, RoundRecord(0.0, 1.0, {"n1": visit}))
        self._document, self._visit = document, visit

    @property
    def source(self) -> object:
        return None

    def node(self, name: str) -> Node:
        return Node(self.cluster, self.cluster.nodes[name], self._visit, self._document)


def traced(node: FakeNode, port: int = 8080) -> TraceView:
    scene = OneNode(node, node.visit(plan(pods=[], node=[])).document)
    (to,) = destinations(scene.cluster, named("pod/shop/web"), str(port))
    return trace_view(scene, named("pod/shop/client"), to)


def connects(node: FakeNode, port: int = 8080) -> bool:
    try:
        node.run("ip", "netns", "exec", "client", "python3", "-c", CONNECT.format(port=port))
    except subprocess.CalledProcessError:
        return False
    return True


@pytest.mark.needs("root", "ip", "bridge", "sysctl")
def test_a_trace_agrees_with_the_kernel(fake_node: MakeNode) -> None:
    node = fake_node(web={"listen": [("0.0.0.0", 8080)]}, client={})
    found = {}

    for name, (change, undo) in CHANGES.items():
        node.run(*change)
        view = traced(node)
        found[name] = (connects(node), str(view.result), view.reason)
        node.run(*undo)

    wrong = {name: each for name, each in found.items() if each[0] is not (each[1] == "reaches")}
    assert wrong == {}
    assert {each[1] for each in found.values()} == {"reaches", "dies"}


@pytest.mark.needs("root", "ip")
def test_a_port_without_a_process(fake_node: MakeNode) -> None:
    node = fake_node(web={"listen": [("0.0.0.0", 8080), ("127.0.0.1", 9000)]}, client={})

    for port in (9000, 81):
        assert (traced(node, port).result, connects(node, port)) == ("dies", False)
