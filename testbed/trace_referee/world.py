"""One node in namespaces of its own, its visits and real connections."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from wirecheck.collect.document_frame import unframed
from wirecheck.collect.node_program import command_line
from wirecheck.collect.plan.dns import DnsPlan
from wirecheck.collect.plan.visit_plan import Plan
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex, VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import NodeDocument

CGROUPS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
SECONDS = 60


@dataclass(frozen=True)
class PlacedPod:
    """A pod of a world."""

    name: str
    uid: str
    address: str
    device: str
    """The node's end of its pair."""
    routed: bool = False
    address6: str = ""


@dataclass(frozen=True)
class PlacedNode:
    """A node of a world."""

    name: str
    address: str
    """In the API."""
    pods: tuple[PlacedPod, ...]
    gateway: str = "10.244.0.1"
    gateway6: str = ""
    address6: str = ""
    has_uplink: bool = True
    """Whether its uplink leads nowhere; otherwise to the other node."""


PODS = (
    PlacedPod("a", "00000000-0000-4000-8000-00000000000a", "10.244.0.2", "veth2"),
    PlacedPod("b", "00000000-0000-4000-8000-00000000000b", "10.244.0.3", "veth3"),
    PlacedPod("c", "00000000-0000-4000-8000-00000000000c", "10.245.0.4", "veth4", routed=True),
)
NODE, NODE_ADDRESS = "n1", "10.244.0.1"
ALONE = PlacedNode(NODE, NODE_ADDRESS, PODS)


@dataclass(frozen=True)
class World:
    """A running node."""

    pid: int
    placed: PlacedNode = ALONE

    def run(self, command: str) -> None:
        """Run a command on the node. Raises CalledProcessError if it fails."""
        inside = ["nsenter", "--target", str(self.pid), "--all", "--", "/bin/sh", "-c", command]
        subprocess.run(inside, check=True, capture_output=True, timeout=SECONDS)

    def visit(self) -> Seen:
        """What the node program reports."""
        return self.seen(self.reported())

    def reported(self) -> bytes:
        """What the node program prints."""
        dns = DnsPlan(queries={}, pods=[], node=[], addresses=[], rate=1.0, tries=1, timeout=0.1)
        plan = Plan(program="referee", deadline=30.0, window=0.1, dns=dns)
        inside = ["nsenter", "--target", str(self.pid), "--all", "--", "/bin/sh", "-c"]
        done = subprocess.run(
            [*inside, command_line(plan.encoded())], capture_output=True, timeout=120, check=True
        )
        return done.stdout

    def seen(self, text: bytes) -> Seen:
        """The document that was printed."""
        document = msgspec.json.decode(unframed(text), type=NodeDocument)
        return Seen({self.placed: document})


@dataclass(frozen=True)
class Seen:
    """A scene of nodes, whose documents visits have returned."""

    documents: Mapping[PlacedNode, NodeDocument]
    source = None

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster of these nodes and their pods."""
        pods = [_pod(node, each) for node in self.documents for each in node.pods]
        nodes = [
            {
                "metadata": {"name": each.name},
                "status": {
                    "addresses": [
                        {"type": "InternalIP", "address": where}
                        for where in (each.address, each.address6)
                        if where
                    ]
                },
            }
            for each in self.documents
        ]
        api = msgspec.convert({"nodes": nodes, "pods": pods}, ApiObjects)
        visits = {each.name: VisitRecord(VisitStatus.SEEN) for each in self.documents}
        index = SnapshotIndex(format=1, wirecheck="referee", time=0.0)
        return Cluster(api, index, RoundRecord(0.0, 1.0, visits))

    def node(self, name: str) -> Node:
        """The node."""
        visit = VisitRecord(VisitStatus.SEEN)
        document = next(each for node, each in self.documents.items() if node.name == name)
        return Node(self.cluster, self.cluster.nodes[name], visit, document)


def _pod(node: PlacedNode, pod: PlacedPod) -> dict[str, object]:
    addresses = [{"ip": each} for each in (pod.address, pod.address6) if each]
    return {
        "metadata": {"name": pod.name, "namespace": "world", "uid": pod.uid},
        "spec": {"nodeName": node.name},
        "status": {"phase": "Running", "podIPs": addresses},
    }


@contextlib.contextmanager
def running(node: PlacedNode = ALONE) -> Iterator[World]:
    """A world, which ends with the block."""
    root = next(each for each in CGROUPS if (each / "cgroup.procs").exists())
    cgroup = root / f"wirecheck-trace-{os.getpid()}-{node.name}"
    cgroup.mkdir(exist_ok=True)
    described = {
        "cgroup": str(cgroup),
        "pods": [vars(each) for each in node.pods],
        "node": {key: value for key, value in vars(node).items() if key != "pods"},
    }
    script = Path(__file__).with_name("node_process.py")
    process = subprocess.Popen(
        ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc",
         sys.executable, str(script), json.dumps(described)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError("The world could not be made: see the message above.")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        yield World(int(children.split()[0]), node)
    finally:
        process.kill()
        process.communicate()
        _remove(cgroup)


def _remove(cgroup: Path) -> None:
    """Remove the cgroups once the last process has left them."""
    folders = [each for each in sorted(cgroup.rglob("*"), reverse=True) if each.is_dir()]
    for each in (*folders, cgroup):
        for _ in range(100):
            with contextlib.suppress(OSError):
                each.rmdir()
                break
            time.sleep(0.05)
