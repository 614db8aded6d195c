"""Nodes with as many network namespaces and pods as a node can have."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.collect.on_node.conftest import FakeNode, plan
from wirecheck.collect.document_frame import unframed
from wirecheck.collect.node_program import command_line
from wirecheck.collect.on_node import namespaces, netlink, rtnetlink
from wirecheck.collect.on_node.processes import scan
from wirecheck.snapshot.node_document import NodeDocument

MakeNode = Callable[..., FakeNode]
NAMESPACES = 2000
PODS = 10_000

# Each is kept by its mount; `ip netns add` would take a process for each.
CREATES = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for number in range(%d):
    path = b"/run/netns/extra%%d" %% number
    os.close(os.open(path, os.O_CREAT))
    if libc.unshare(0x40000000) or libc.mount(b"/proc/self/ns/net", path, b"none", 4096, None):
        raise OSError(ctypes.get_errno(), path)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "restricted",
    [
        "",
        pytest.param("setpriv --bounding-set -sys_resource ", marks=pytest.mark.needs("setpriv")),
    ],
)
def test_2000_namespaces_with_few_open_files(fake_node: MakeNode, restricted: str) -> None:
    """Only those of pods stay open. The program may be allowed to raise the limit, or not."""
    node = fake_node(web={})
    created = [*node.argv("")[:-3], "python3", "-c", CREATES % NAMESPACES]
    subprocess.run(created, check=True, timeout=300)

    line = f"ulimit -n 1024; exec {restricted}{command_line(plan(deadline=60.0).encoded())}"
    ended = subprocess.run(node.argv(line), capture_output=True, timeout=200, check=True)

    document = msgspec.json.decode(unframed(ended.stdout), type=NodeDocument)
    assert document.problems == []
    assert document.pods
    (pod,) = document.pods
    assert (pod.uid, pod.inode) == (node.uids["web"], node.inodes["web"])
    assert document.probes
    assert all(each.tries[-1].answer for each in document.probes)
    extra = [each for each in document.namespaces if each.mounted.startswith("/run/netns/extra")]
    assert len(extra) == NAMESPACES
    assert not [each.error for each in extra if each.error]
    assert all(each.links for each in extra)


@pytest.mark.slow
def test_10000_pods_are_found_in_one_pass(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1/cgroup").write_text("0::/init.scope\n")
    (tmp_path / "netns").touch()
    for number in range(100, 100 + PODS):
        folder = tmp_path / str(number)
        (folder / "ns").mkdir(parents=True)
        os.link(tmp_path / "netns", folder / "ns/net")
        uid = f"00000000-0000-4000-8000-{number:012x}"
        (folder / "cgroup").write_text(f"0::/kubepods/burstable/pod{uid}/{'0' * 64}\n")

    found = scan(str(tmp_path))

    assert len(found.pods) == PODS
    assert set(found.members.values()) == {1}
    assert (list(found.counts.values()), found.denied) == ([PODS], 0)


class Counting(netlink.Netlink):
    """A socket whose every dump has this many entries."""

    entries = 0

    def __init__(self, most: int) -> None:
        self._most = most
        self.received = 0

    def answers(self, *_: object):  # type: ignore[no-untyped-def]
        yield from ((0, b"") for _ in range(self.entries))


def test_a_namespace_that_somebody_filled_is_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counting, "entries", 6)
    socket = Counting(most=10)

    assert len(socket.dump(1, b"")) == 6
    with pytest.raises(OSError, match="more entries than are read"):
        socket.dump(1, b"")


@pytest.mark.needs("root")
def test_filled_namespaces_leave_room_for_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pods have counts together; the node's own has a limit of its own."""
    spaces = namespaces.Namespaces.__new__(namespaces.Namespaces)
    descriptor = os.open("/proc/self/ns/net", os.O_RDONLY)
    spaces.home, spaces.host, spaces.problem = descriptor, os.fstat(descriptor).st_ino, ""
    spaces.descriptors = {spaces.host: descriptor, 7: descriptor}
    spaces._left, spaces._most_open = 0, 10
    monkeypatch.setattr(namespaces, "enter", lambda _: None)
    monkeypatch.setattr(rtnetlink, "namespace_id", lambda *_: None)
    spaces._netlink = netlink.Netlink()
    try:
        assert "error" not in spaces.read(spaces.host, [])
        assert "more entries than are read" in spaces.read(7, [])["error"]
    finally:
        os.close(descriptor)


@pytest.mark.needs("root")
def test_pods_beyond_the_limit_of_open_files_are_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    spaces = namespaces.Namespaces.__new__(namespaces.Namespaces)
    spaces.home, spaces.host, spaces.descriptors = 0, 1, {1: 0}
    spaces._left, spaces._most_open = 0, 1

    assert "limit of open files" in spaces.read(7, [1])["error"]
