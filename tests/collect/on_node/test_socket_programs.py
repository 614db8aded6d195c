"""Programs on a cgroup are listed by their hooks; one is attached to an empty cgroup for real."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.collect.on_node.test_ebpf_maps import bpf, run_alone
from wirecheck.collect.on_node import device_programs, socket_programs

LOAD, ATTACH = 5, 8
SOCKET_ADDRESS, CONNECT4, SENDMSG4 = 18, 10, 14
ALLOW = struct.pack("=BBhi", 0xB7, 0, 0, 1) + struct.pack("=BBhi", 0x95, 0, 0, 0)


def load(name: str, kind: int) -> int:
    """A program that allows everything."""
    code, license_ = (
        ctypes.create_string_buffer(ALLOW, len(ALLOW)),
        ctypes.create_string_buffer(b"GPL"),
    )
    head = struct.pack(
        "=IIQQIIQII16sII",
        *(SOCKET_ADDRESS, len(ALLOW) // 8, ctypes.addressof(code), ctypes.addressof(license_)),
        *(0, 0, 0, 0, 0, name.encode(), 0, kind),
    )
    return bpf(LOAD, head)


def attach_and_read() -> None:
    """In a mount namespace of its own: print what is found before and after."""
    folder = tempfile.mkdtemp()
    subprocess.run(["mount", "-t", "cgroup2", "none", folder], check=True)
    group = Path(folder, f"wirecheck-test-{os.getpid()}")
    group.mkdir()
    try:
        socket_programs.ROOTS = ("",)
        socket_programs._mounts = lambda: iter([str(group), "/proc"])  # type: ignore[assignment]
        read = [socket_programs.read_all()]
        descriptor = os.open(group, os.O_RDONLY)
        for name, kind in (("cil_sock4_conne", CONNECT4), ("cil_sock4_sendm", SENDMSG4)):
            bpf(ATTACH, struct.pack("=IIII", descriptor, load(name, kind), kind, 0))
        read.append(socket_programs.read_all())
        os.close(descriptor)
        sys.stdout.write(json.dumps(read))
    finally:
        group.rmdir()


@pytest.mark.needs("root", "unshare")
def test_programs_are_listed_by_their_hooks() -> None:
    before, after = json.loads(run_alone(__name__, "attach_and_read()"))
    assert before == {}
    assert after == {"connect4": ["cil_sock4_conne"], "sendmsg4": ["cil_sock4_sendm"]}


def test_mounts_of_cgroup2_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "31 22 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw",
        "32 22 0:26 / /run/cilium/cgroupv2 rw - cgroup2 none rw",
        r"33 22 0:26 / /mnt/with\040blank rw - cgroup2 none rw",
        "34 22 0:27 / /sys/fs/cgroup/cpu rw shared:5 - cgroup cgroup rw,cpu",
        "35 22 0:28 / /cgroup2 rw - tmpfs cgroup2 rw",
        "damaged",
    ]
    file = tmp_path / "mountinfo"
    file.write_text("\n".join(lines))
    monkeypatch.setattr(socket_programs, "MOUNTS", str(file))
    assert list(socket_programs._mounts()) == ["/sys/fs/cgroup", "/run/cilium/cgroupv2"]


def test_many_mounts_and_none_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mountinfo"
    monkeypatch.setattr(socket_programs, "MOUNTS", str(file))
    assert list(socket_programs._mounts()) == []
    file.write_text("31 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n" * 500)
    assert len(list(socket_programs._mounts())) == socket_programs.MOST_MOUNTS


def test_a_kernel_that_refuses_has_no_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_programs, "ROOTS", ("/nowhere", ""))
    monkeypatch.setattr(socket_programs, "_mounts", lambda: iter([str(tmp_path)]))
    monkeypatch.setattr(device_programs, "query", lambda *_: None)
    assert socket_programs.read_all() == {}
