"""Processes, files and servers of pods that were made to deceive, to block or to fill."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.collect.on_node.conftest import FakeNode, plan
from tests.collect.on_node.test_container_runtime import Host
from wirecheck.collect.document_frame import unframed
from wirecheck.collect.on_node import child, kube_proxy, visit
from wirecheck.collect.on_node.deadline import RAN_OUT
from wirecheck.collect.on_node.processes import find_pods, mounted_namespaces, of_the_node
from wirecheck.collect.on_node.regular_file import RefusedError, content, text_of_host

MakeNode = Callable[..., FakeNode]
UID = "0107dcf0-3f54-4b2a-99e8-32c41d75e368"
SLICE = f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice"
INNER = "ffffffff-3f54-4b2a-99e8-32c41d75e368"
OF_PODS = {
    "cgroup v2, systemd, containerd": f"0::{SLICE}/cri-containerd-a.scope\n",
    "cgroup v2, cgroupfs": f"0::/kubepods/burstable/pod{UID}/a\n",
    "cgroup v1, others at the root": f"12:rdma:/\n11:pids:/kubepods/besteffort/pod{UID}/a\n0::/\n",
    "CRI-O": f"0::{SLICE}/crio-a.scope/container\n",
    "one of its own like a monitor": f"0::{SLICE}/crio-a.scope/crio-conmon-x\n",
    "one of its own like a service": f"0::{SLICE}/crio-a.scope/kubelet.service\n",
    "a cgroup with the end of a line": f"0::/kubepods/pod{UID}/a/b\u2028c\x85d\n",
    "a cgroup that is not UTF-8": f"0::/kubepods/pod{UID}/a/\udcff\n",
    "a node in a container": f"0::/kubelet/kubepods/pod{UID}/a\n",
}
OF_THE_NODE = {
    "systemd": "0::/system.slice/kubelet.service\n",
    "a kubelet in a container of Docker": f"0::/docker/{'9' * 64}\n",
    "kind": "0::/kubelet.slice/kubelet.service\n",
    "LXC": "0::/lxc/node1/init.scope\n",
    "the root": "0::/\n",
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def run(host: Host, cgroup: str) -> list[str]:
    host.run("/usr/bin/kubelet --config=/etc/shadow", cgroup="")
    newest = max((host.root / "proc").glob("1??"))
    (newest / "cgroup").write_bytes(cgroup.encode(errors="surrogateescape"))
    return [name for _, name in of_the_node(("kubelet",), f"{host.root}/proc")]


@pytest.mark.parametrize("cgroup", OF_PODS.values(), ids=OF_PODS)
def test_a_process_of_a_pod_is_not_believed(host: Host, cgroup: str) -> None:
    assert run(host, cgroup) == []
    assert [uid for uid, _ in find_pods(cgroup)] == [UID]


@pytest.mark.parametrize("cgroup", OF_THE_NODE.values(), ids=OF_THE_NODE)
def test_a_process_of_the_node_is(host: Host, cgroup: str) -> None:
    assert run(host, cgroup) == ["kubelet"]


def test_a_node_that_runs_in_a_pod_has_its_processes_there(host: Host) -> None:
    (host.root / "proc/1/cgroup").write_text(OF_PODS["cgroup v2, cgroupfs"])
    outer = f"0::/kubepods/burstable/pod{UID}/a"

    assert run(host, f"{outer}/system.slice/kubelet.service") == ["kubelet"]
    assert run(host, f"{outer}/kubepods/pod{INNER}/b") == ["kubelet"], "the first, and no other"


def test_the_monitor_of_cri_o_belongs_to_no_pod() -> None:
    path = f"0::{SLICE}/crio-conmon-a.scope"
    assert find_pods(path) == []


def test_a_mount_is_read_whatever_its_names_are(tmp_path: Path) -> None:
    """A pod chooses the directory of its volume's subPath, which is a field of a line."""
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_bytes(
        b"20 1 0:5 /a\rb /var/lib/kubelet/pods/x/volume-subpaths/y rw - ext4 /dev/a rw\n"
        b"21 1 0:5 /a\x0bb\xc2\x85c\xff /var/lib/x rw - ext4 /dev/a rw\n"
        b"22 1\n"
        b"700 22 0:4 net:[4026532539] /run/netns/a\xff\\040b\\777 rw - nsfs nsfs rw\n"
    )

    found = mounted_namespaces(str(mountinfo))

    assert list(found) == [4026532539]
    assert os.fsencode(found[4026532539]) == b"/run/netns/a\xff b\\777"


def test_the_kubelet_of_a_pod_is_not_followed(fake_node: MakeNode) -> None:
    """It is in the node's netns, as a pod on the host network is."""
    node = fake_node(web={}, evil={"comm": "kubelet", "host_network": True})

    document = node.visit(plan()).document

    assert document.kubelet is None
    assert document.problems == []


# Files.


@pytest.mark.parametrize("most", [3, 4, 5])
def test_a_file_of_any_length(tmp_path: Path, most: int) -> None:
    (tmp_path / "a").write_bytes(b"four")
    if most < 4:
        with pytest.raises(RefusedError, match="larger than 3 bytes"):
            content("a", most, str(tmp_path))
    else:
        assert content("a", most, str(tmp_path)) == b"four"


def test_files_of_the_host_that_pods_may_write(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    (tmp_path / "null").symlink_to("/dev/null")
    for name in ("fifo", "link", "null", "missing", "."):
        with pytest.raises(RefusedError, match=str(tmp_path)):
            text_of_host(str(tmp_path / name), 100)


def test_what_a_child_returns_is_cut() -> None:
    found = child.result(lambda: {"x" * 2000: ["y" * 2000] * 30_000, "n": 1.5}, 60)

    (key, n) = found
    assert (len(key), n, len(found[key]), len(found[key][0])) == (1000, "n", 20_000, 1000)


def test_a_child_that_hangs_fails_or_dies() -> None:
    for work, why in (
        (lambda: time.sleep(60), "no answer within 0 s"),
        (lambda: os._exit(1), "no answer"),
        (lambda: Path("/nowhere").stat(), "FileNotFoundError"),
        (lambda: json.loads("[" * 100_000), "RecursionError"),
        (lambda: {1}, "not JSON serializable"),
    ):
        with pytest.raises(RefusedError, match=why):
            child.result(work, 0.2 if "within" in why else 30)


def test_a_child_is_awaited_beyond_the_descriptors_of_select() -> None:
    """select() refuses a descriptor above 1,023, as a node with many namespaces has."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 2048:
        pytest.skip("the limit of open files is too low")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    kept = [os.open("/dev/null", os.O_RDONLY)]
    try:
        # Threads of earlier tests may still close some, and a new one takes the lowest number.
        while kept[-1] <= 1023:
            kept.append(os.dup(kept[0]))
        assert child.result(lambda: "done", 60) == "done"
    finally:
        for each in kept:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# Names.


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (os.fsdecode(b"a\xff\x80b"), "a??b"),
        ("\udcff", "?"),
        ("\\udcff", "\\udcff"),
        ("\\\udcff", "\\?"),
        ("\U00010080\udc80", "\U00010080?"),
        ("é\u2028\U0001f600", "é\u2028\U0001f600"),
    ],
)
def test_a_name_that_is_not_utf_8_spoils_no_document(name: str, shown: str) -> None:
    document = msgspec.json.decode(unframed(visit.framed({"a": name, name: [name]}).encode()))
    assert document == {"a": shown, shown: [shown]}


# Servers.


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[bytes], bytes], None]]:
    """Listens as kube-proxy does; sends some parts, and then one again and again."""
    listeners = []

    def serve(parts: list[bytes], again: bytes) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        port = listener.getsockname()[1]
        endpoints = {name: (port, f"/{name}") for name in ("healthz", "livez")}
        monkeypatch.setattr(kube_proxy, "ENDPOINTS", endpoints)
        monkeypatch.setattr(kube_proxy, "SECONDS", 0.3)

        def accept() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                    connection.recv(1000)
                    for part in parts:
                        connection.sendall(part)
                    while again:
                        connection.sendall(again)
                        time.sleep(0.02)
                    connection.close()
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()

    yield serve
    for each in listeners:
        each.close()


@pytest.mark.parametrize(
    ("parts", "again"),
    [
        ([], b"HTTP/1.1 100 Continue\r\n\r\n"),
        ([b"HTTP/1.1 200 OK\r\n"], b"X-A: b\r\n"),
        ([b"HTTP/1.1 200 OK\r\n\r\n"], b"a"),
        ([], b"H"),
    ],
)
def test_a_server_that_sends_slowly_costs_the_limit_once(
    server: Callable[[list[bytes], bytes], None], parts: list[bytes], again: bytes
) -> None:
    server(parts, again)

    assert {each["error"] for each in kube_proxy.ask_all().values()} == {"timed out"}


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nok", {"status": 200, "body": "ok"}),
        (b"HTTP/1.0 503\r\n\r\n", {"status": 503, "body": ""}),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", {"status": 100}),
        (b"SSH-2.0-x\r\n", {"error": "no HTTP answer"}),
        (b"", {"error": "no HTTP answer"}),
        (b"HTTP/1.1 2000 OK\r\n\r\n", {"error": "no HTTP answer"}),
        (b"HTTP/1.1 \xff\xff\xff OK\r\n\r\n", {"error": "invalid literal"}),
    ],
)
def test_whatever_a_server_sends(
    server: Callable[[list[bytes], bytes], None], sent: bytes, answer: dict[str, object]
) -> None:
    server([sent] if sent else [], b"")

    found = kube_proxy.ask_all()["healthz"]
    assert found.get("status") == answer.get("status")
    assert str(answer.get("error", "")) in found.get("error", "")


HUNG = """
import sys, time
from wirecheck.collect.on_node import deadline, visit
from wirecheck.collect.on_node.stages import Stage
deadline.GRACE, deadline.INTERVAL = 0.1, 0.1
def hangs(state):
    state.document["kubelet"] = {"flags": {}}
    while True:
        try:
            time.sleep(60)
        except Exception:
            pass
def ignores(state):
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
visit.STAGES = (
    Stage("CNI files", lambda state: state.document.update(http={}), []),
    Stage("kubelet", {"hangs": hangs, "ignores": ignores}[sys.argv[1]], []),
    Stage("Pods", hangs, [], closing=hangs),
)
visit.hold_on = lambda: None
visit.os.nice = visit.os.geteuid = lambda *_: 0
visit.main({"program": "1", "deadline": 0.2, "window": 0})
"""


def test_when_the_alarm_rings_the_document_so_far_is_sent() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HUNG, "hangs"], capture_output=True, timeout=60, check=True
    )

    document = msgspec.json.decode(unframed(ended.stdout))
    assert document["http"] == {}
    assert document["kubelet"] == {"flags": {}}
    assert document["problems"] == [
        "kubelet: not read, it hung until the visit's time limit.",
        "Pods: not read, the visit had no time left.",
        "Pods: not read, the visit had no time left.",
    ]


def test_code_that_ignores_the_alarm_is_ended_with_the_program() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HUNG, "ignores"], capture_output=True, timeout=60, check=False
    )

    assert ended.returncode == RAN_OUT
