"""Nodes that are too full, that change while they are looked at, or that lack things.

WIRECHECK_HOSTILE=full makes them as full as nodes get, which takes minutes; -s shows what a
visit costs there.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.collect.on_node.conftest import FakeNode, plan
from wirecheck.catalogue.node_commands import NODE_COMMANDS
from wirecheck.collect.document_frame import unframed
from wirecheck.collect.node_program import command_line
from wirecheck.collect.on_node import namespaces as on_node_namespaces
from wirecheck.collect.on_node import rtnetlink
from wirecheck.collect.on_node.netlink import Netlink
from wirecheck.snapshot.node_document import NodeDocument

MakeNode = Callable[..., FakeNode]
FULL = os.environ.get("WIRECHECK_HOSTILE") == "full"
NAMESPACES = 500 if FULL else 40
CONNECTIONS = 100_000 if FULL else 1_000
RULES = 200_000 if FULL else 2_000
MOST_MEMORY = 1 << 30
"""Bytes that the program and what it starts may take at once, on the fullest node."""
MOST_CPU_SECONDS = 45.0

# Tells what the program and everything that it waited for has used.
MEASURED = """
import json, os, subprocess, sys
with open(sys.argv[1], "wb") as output:
    child = subprocess.Popen(sys.argv[2:], stdout=output)
    _, status, used = os.wait4(child.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime, used.ru_stime,
                  used.ru_maxrss * 1024]))
"""


@dataclass
class Cost:
    """Of one visit."""

    cpu: float
    memory: int
    packets: int
    answer: int


def measured(node: FakeNode, tmp_path: Path, **changes: object) -> tuple[NodeDocument, Cost]:
    output = tmp_path / "output"
    before = packets(node)
    argv = node.argv(command_line(plan(**changes).encoded()))
    ended = subprocess.run(
        [sys.executable, "-c", MEASURED, str(output), *argv],
        check=True, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    status, user, system, memory = json.loads(ended.stdout)
    assert (status, ended.stderr) == (0, "")
    raw = output.read_bytes()
    cost = Cost(user + system, memory, packets(node) - before, len(raw))
    assert cost.cpu < MOST_CPU_SECONDS
    assert cost.memory < MOST_MEMORY
    return msgspec.json.decode(unframed(raw), type=NodeDocument), cost


def packets(node: FakeNode) -> int:
    """All that was sent from the node and from its pods, the answers of its own server aside."""
    names = [*node.inodes, ""]
    total = 0
    for name in names:
        inside = ("ip", "netns", "exec", name) if name else ()
        lines = node.run(*inside, "cat", "/proc/net/snmp").splitlines()
        keys, values = (each.split() for each in lines if each.startswith("Ip:"))
        total += int(values[keys.index("OutRequests")])
    return total


def told(what: str, cost: Cost, document: NodeDocument) -> None:
    seconds = document.finished - document.started
    print(
        f"\n| {what} | {seconds:.1f} | {cost.cpu:.1f} | {cost.memory >> 20} | {cost.packets} "
        f"| {cost.answer >> 10} | {'; '.join(document.problems) or 'none'} |"
    )


def fed(node: FakeNode, text: str, *words: str) -> None:
    inside = node.argv("")[:-3] + list(words)
    subprocess.run(inside, input=text, text=True, check=True, capture_output=True, timeout=500)


def answered(document: NodeDocument) -> bool:
    return all(probe.tries and probe.tries[-1].answer for probe in document.probes)


def test_what_a_visit_costs(fake_node: MakeNode, tmp_path: Path) -> None:
    document, cost = measured(fake_node(web={}, cache={}), tmp_path)

    told("2 pods", cost, document)
    assert document.problems == []
    # A query is one packet over UDP and at most eight over TCP, on either side.
    assert cost.packets <= len(document.probes) * 10


def test_many_namespaces(fake_node: MakeNode, tmp_path: Path) -> None:
    node = fake_node(web={})
    loop = f"i=0; while [ $i -lt {NAMESPACES} ]; do ip netns add extra$i; i=$((i+1)); done"
    node.run("sh", "-c", loop)

    document, cost = measured(node, tmp_path)

    told(f"{NAMESPACES} namespaces", cost, document)
    extra = [each for each in document.namespaces if each.mounted.startswith("/run/netns/extra")]
    assert len(extra) == NAMESPACES
    assert all(each.links and not each.error for each in extra)
    assert document.problems == []
    assert answered(document)


@pytest.mark.needs("conntrack")
def test_many_connections(fake_node: MakeNode, tmp_path: Path) -> None:
    node = fake_node(web={})
    fed(node, "\n".join(connections()) + "\n", "conntrack", "--load-file", "-")

    document, cost = measured(node, tmp_path)

    told(f"{CONNECTIONS:,} connections", cost, document)
    assert document.namespaces[0].conntrack_count is not None
    assert document.namespaces[0].conntrack_count >= CONNECTIONS
    kept = document.commands["conntrack-dns"].output.count("dst=10.96.0.10 ")
    assert kept >= CONNECTIONS // 10
    assert answered(document)


def connections() -> Iterator[str]:
    """A tenth of them towards DNS."""
    for i in range(CONNECTIONS):
        source, port = f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}", 1024 + i % 60000
        to = "10.96.0.10" if i % 10 == 0 else "10.96.0.77"
        yield (
            f"-A -t 600 -u SEEN_REPLY -s {source} -d {to} -r 10.244.0.9 -q {source} -p udp "
            f"--sport {port} --dport 53 --reply-port-src 53 --reply-port-dst {port}"
        )


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param("legacy", marks=pytest.mark.needs("iptables-legacy")),
        pytest.param("nft", marks=pytest.mark.needs("iptables")),
    ],
)
def test_many_rules(fake_node: MakeNode, tmp_path: Path, variant: str) -> None:
    node = fake_node(web={})
    fed(node, rules(), f"iptables-{variant}-restore")

    document, cost = measured(node, tmp_path)

    told(f"{RULES:,} rules ({variant})", cost, document)
    command = document.commands[f"iptables-{variant}-save"]
    if command.problem:
        # The kernel walks all nft rules anew for each piece that it hands out.
        assert (FULL, variant, command.problem) == (True, "nft", "time limit")
    else:
        assert command.output.count("\n-A KUBE-X") == RULES
    assert answered(document)
    assert "/proc/net/ip_tables_names" in document.files


def rules() -> str:
    lines = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"]
    lines.append(":KUBE-X - [0:0]")
    lines += [
        f"-A KUBE-X -d 10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}/32 -p tcp -m comment "
        f'--comment "shop/web-{i} cluster IP" -m tcp --dport 80 -j ACCEPT'
        for i in range(RULES)
    ]
    return "\n".join([*lines, "COMMIT", ""])


@pytest.mark.slow
def test_pods_that_come_and_go(fake_node: MakeNode, tmp_path: Path) -> None:
    """Namespaces and processes that are there when listed may be gone when they are read."""
    node = fake_node(web={})
    churn = subprocess.Popen(
        node.argv(
            "while :; do for n in 1 2 3 4 5 6 7 8; do (ip netns add churn$n && "
            "ip link add veth9$n type veth peer name eth0 netns churn$n && "
            "ip netns exec churn$n true; ip netns delete churn$n) 2>/dev/null & done; wait; done"
        ),
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(20 if FULL else 5):
            document = node.visit(plan()).document
            assert [each for each in document.problems if "Errno" not in each] == []
            assert answered(document)
            assert document.pods[0].inode == node.inodes["web"]
            for each in document.namespaces:
                assert each.error or each.links
    finally:
        churn.kill()
        churn.wait()


TOOLS = sorted({each.argv[0] for each in NODE_COMMANDS})


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_that_is_missing(fake_node: MakeNode, tool: str) -> None:
    node = fake_node(web={})
    hide(node, tool)

    document = node.visit(plan()).document

    for each in NODE_COMMANDS:
        command = document.commands.get(each.id)
        if command and each.argv[0] == tool:
            assert command.problem == "missing" or command.problem.startswith("not asked"), each
        elif command:
            assert command.problem != "missing" or not on_this_machine(each.argv[0]), each
    assert document.problems == []
    assert answered(document)


def on_this_machine(tool: str) -> bool:
    return shutil.which(tool, path="/usr/sbin:/usr/bin:/usr/local/bin") is not None


def hide(node: FakeNode, tool: str) -> None:
    """Folders of links to everything but the tool lie over those that hold it."""
    node.run("mount", "-t", "tmpfs", "none", "/mnt")
    for number, folder in enumerate(("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin")):
        if not Path(folder, tool).exists():
            continue
        real, links = f"/mnt/real{number}", f"/mnt/links{number}"
        node.run("mkdir", real, links)
        node.run("mount", "--bind", folder, real)
        names = [each.name for each in Path(folder).iterdir() if each.name != tool]
        script = "\n".join(f"ln -s {real}/{name} {links}/{name}" for name in names)
        fed(node, script, "sh")
        node.run("mount", "--bind", links, folder)


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (rtnetlink.GETRULE, {"links", "addresses", "routes", "local_routes"}),
        (rtnetlink.GETROUTE, {"links", "addresses"}),
        (rtnetlink.GETADDR, {"links"}),
        (rtnetlink.GETLINK, set()),
    ],
)
def test_a_kernel_that_refuses_a_question(monkeypatch, kind: int, kept: set[str]) -> None:
    """What could be read before is told, so that the node is known; the rest has its reason."""
    original = Netlink.dump

    def dump(self: Netlink, asked: int, body: bytes) -> list[bytes]:
        if asked == kind:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return original(self, asked, body)

    monkeypatch.setattr(Netlink, "dump", dump)
    found: list[dict[str, object]] = []

    def read() -> None:  # a thread may be in another netns than the rest
        spaces = on_node_namespaces.Namespaces.__new__(on_node_namespaces.Namespaces)
        descriptor = os.open("/proc/self/ns/net", os.O_RDONLY)
        spaces.home, spaces.host = descriptor, os.fstat(descriptor).st_ino
        spaces.descriptors = {spaces.host: descriptor}
        found.append(spaces.read(spaces.host, []))
        os.close(descriptor)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()

    (record,) = found
    assert set(record) - {"inode", "error"} == kept
    assert record["error"] == (
        f"The netns {record['inode']} could not be read: Operation not supported."
    )
