from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.needs import lacking, need
from wirecheck.collect.document_frame import unframed
from wirecheck.collect.node_program import command_line
from wirecheck.collect.plan.dns import DnsPlan
from wirecheck.collect.plan.dns_questions import Ask, Question
from wirecheck.collect.plan.visit_plan import Plan
from wirecheck.snapshot.netns import Namespace
from wirecheck.snapshot.node_document import NodeDocument, PodProcesses

QUESTION = Question("kubernetes.default.svc.cluster.local", "A")
DNS = "10.96.0.10"
CGROUP_ROOTS = ("/sys/fs/cgroup/pids", "/sys/fs/cgroup")


def plan(**changes: Any) -> Plan:
    """DNS from every pod's netns and the node's, over UDP and TCP."""
    asks = [Ask(QUESTION.id, DNS, "udp"), Ask(QUESTION.id, DNS, "tcp")]
    dns = DnsPlan(
        queries={QUESTION.id: QUESTION.wire},
        pods=asks,
        node=asks,
        addresses=[DNS],
        rate=1000.0,
        tries=3,
        timeout=0.5,
    )
    made = Plan(program="test", deadline=30.0, window=0.1, dns=dns)
    fields = {key: changes.pop(key) for key in ("deadline", "window") if key in changes}
    return msgspec.structs.replace(made, dns=msgspec.structs.replace(dns, **changes), **fields)


@dataclass
class FakeNode:
    pid: int
    inodes: dict[str, int]
    host: int
    uids: dict[str, str]

    def argv(self, command: str) -> list[str]:
        return ["nsenter", "--target", str(self.pid), "--all", "--", "/bin/sh", "-c", command]

    def run(self, *words: str) -> str:
        inside = self.argv("")[:-3] + list(words)
        return subprocess.run(inside, check=True, capture_output=True, text=True, timeout=60).stdout

    def visit(self, plan: Plan) -> Seen:
        finished = subprocess.run(
            self.argv(command_line(plan.encoded())), capture_output=True, timeout=120, check=False
        )
        assert finished.returncode == 0, finished.stderr.decode()
        assert finished.stderr == b""
        document = msgspec.json.decode(unframed(finished.stdout), type=NodeDocument)
        return Seen(self, document)


@dataclass
class Seen:
    node: FakeNode
    document: NodeDocument

    def netns(self, name: str) -> Namespace:
        inode = self.node.inodes[name] if name else self.node.host
        (found,) = [each for each in self.document.namespaces if each.inode == inode]
        return found

    def pod(self, name: str) -> PodProcesses:
        (found,) = [each for each in self.document.pods if each.uid == self.node.uids[name]]
        return found

    def tries(self, name: str, transport: str) -> list[Any]:
        inode = self.node.inodes[name] if name else self.node.host
        (probe,) = [
            each
            for each in self.document.probes
            if (each.inode, each.transport, each.purpose) == (inode, transport, "")
        ]
        return list(probe.tries)


@pytest.fixture(scope="session")
def can_make_nodes() -> Iterator[str]:
    """The folder in which cgroups can be made; skips where nodes cannot be made up."""
    need("root", "ip", "mount", "nsenter", "unshare")
    folder = make_cgroup()
    if folder is None:
        lacking("cgroup", "and none can be made here")
    yield str(folder)
    folder.rmdir()


def make_cgroup() -> Path | None:
    """A folder of our own: this machine may itself be a node."""
    for root in map(Path, CGROUP_ROOTS):
        folder = root / f"wirecheck-test-{os.getpid()}"
        if (root / "cgroup.procs").exists():
            with contextlib.suppress(OSError):
                folder.mkdir()
                return folder
    return None


@pytest.fixture
def fake_node(can_make_nodes: str) -> Iterator[Callable[..., FakeNode]]:
    """Make a node with the pods described: name → drop, wired, process, root …"""
    started: list[subprocess.Popen[bytes]] = []

    def make(**pods: dict[str, Any]) -> FakeNode:
        uids = {name: f"00000000-0000-4000-8000-{i:012x}" for i, name in enumerate(pods)}
        described = {
            "cgroup": can_make_nodes,
            "pods": [{"name": name, "uid": uids[name], **pod} for name, pod in pods.items()],
        }
        script = Path(__file__).with_name("fake_node.py")
        process = subprocess.Popen(
            ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc",
             sys.executable, str(script), json.dumps(described)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        return FakeNode(int(children.split()[0]), ready["inodes"], ready["host"], uids)

    yield make
    for process in started:
        process.kill()
        process.communicate()
    remove_cgroups(Path(can_make_nodes))


def remove_cgroups(folder: Path) -> None:
    """Once the last process has left them."""
    for each in sorted(folder.rglob("*"), reverse=True):
        if each.is_dir():
            for _ in range(100):
                try:
                    each.rmdir()
                    break
                except OSError:
                    time.sleep(0.05)
