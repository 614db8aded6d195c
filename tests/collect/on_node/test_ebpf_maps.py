"""eBPF maps are read by their pins, as the kernel has them; they are made here for real."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from wirecheck.collect.on_node import bpf_access, bpf_calls, bpf_entries, ebpf_maps
from wirecheck.dataplane.ebpf.known_addresses import ipcache_of
from wirecheck.dataplane.ebpf.layouts import (
    ADDRESS_LAYOUTS,
    LAYOUTS,
    NAMES,
    OF_ADDRESSES,
    POLICY_LAYOUTS,
)
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps

CREATE, UPDATE, PIN = 0, 2, 6
HASH, ARRAY, LRU_HASH, TRIE = 1, 2, 9, 11
NO_PREALLOCATION = 1
SERVICES, RANGES = "cilium_lb4_services_v2", "cilium_lb4_source_range"
OF_OTHER_TYPE = "cilium_lb4_backends_v3"
KEPT = (SERVICES, RANGES, "cilium_ipcache_v2", OF_OTHER_TYPE)
POLICY, CONNECTIONS = "cilium_policy_v3_00189", "cilium_ct4_global"
PINS = "/sys/fs/bpf/tc/globals"


def bpf(command: int, attr: bytes) -> int:
    status = bpf_calls.call(command, ctypes.create_string_buffer(attr, 128))
    if status < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return status


def make(name: str, kind: int, key: int, value: int, most: int) -> int:
    flags = NO_PREALLOCATION if kind == TRIE else 0
    head = struct.pack("=IIIII", kind, key, value, most, flags)
    descriptor = bpf(CREATE, head)
    path = ctypes.create_string_buffer(f"{PINS}/{name}".encode())
    bpf(PIN, struct.pack("=QI", ctypes.addressof(path), descriptor))
    return descriptor


def put(descriptor: int, key: bytes, value: bytes) -> None:
    places = [ctypes.create_string_buffer(each, len(each)) for each in (key, value)]
    bpf(UPDATE, struct.pack("=IxxxxQQQ", descriptor, *map(ctypes.addressof, places), 0))


def service(number: int) -> tuple[bytes, bytes]:
    return struct.pack("=IHHBBxx", number, 80, 0, 6, 0), struct.pack(
        "=IHHBBH", number, 1, 2, 3, 4, 5
    )


def make_and_read(entries: int) -> None:
    """In a mount namespace of its own: print what is read, in both ways and with limits."""
    subprocess.run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"], check=True)
    Path(PINS).mkdir(parents=True)
    ebpf_maps.ROOTS = ("",)
    services = make(SERVICES, HASH, 12, 12, 2 * entries)
    for number in range(entries):
        put(services, *service(number))
    trie = make(RANGES, TRIE, 12, 1, 100)
    for number in range(7):
        put(trie, struct.pack("=IHxx4s", 64, number, bytes([10, 0, 0, number])), b"\0")
    policies = make(POLICY, TRIE, 12, 12, 100)
    for number in range(9):
        put(policies, struct.pack("=II4x", 40, number), bytes(12))
    connections = make(CONNECTIONS, LRU_HASH, 14, 56, 2 * entries)
    for number in range(entries // 2):
        put(connections, struct.pack("=I10x", number), bytes(56))
    addresses = make("cilium_ipcache_v2", TRIE, 24, 24, 100)
    put(addresses, struct.pack("=IHxB16s", 64, 0, 1, bytes([10, 0, 0, 9])), bytes(24))
    make("cilium_node_map_v2", HASH, 20, 4, 10)
    make("cilium_nodeport_neigh4", LRU_HASH, 4, 8, 10)
    make(OF_OTHER_TYPE, ARRAY, 4, 12, 10)
    make("other_map", HASH, 4, 8, 10)
    read = [ebpf_maps.read_all(60.0)]
    batches = bpf_entries._batches
    bpf_entries._batches = lambda *_: iter(_refused())  # type: ignore[assignment]
    read.append(ebpf_maps.read_all(60.0))
    bpf_entries._batches = batches
    ebpf_maps.MOST_ENTRIES = ebpf_maps.COUNTED_ENTRIES = 5
    read.append(ebpf_maps.read_all(60.0))
    ebpf_maps.COUNTING = ebpf_maps.READING_POLICIES = -1.0
    read.append(ebpf_maps.read_all(60.0))
    sys.stdout.write(json.dumps(read))


def _refused() -> list[tuple[bytes, bytes]]:
    raise OSError(errno.EINVAL, "no batches")


def run_alone(module: str, call: str) -> str:
    """What a function prints that is called in a mount namespace of its own."""
    module = f"from {module} import *; {call}"
    finished = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", module],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "PermissionError" in finished.stderr or "mount:" in finished.stderr:
        pytest.skip("the kernel makes no maps here")
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.needs("root", "unshare")
def test_maps_are_read_in_batches_and_one_by_one() -> None:
    entries = 5000
    documents = msgspec.json.decode(
        run_alone(__name__, f"make_and_read({entries})"), type=list[EbpfMaps]
    )

    for document in documents[:2]:
        assert not document.problem
        assert document.byte_order == sys.byteorder
        by_name = {each.name: each for each in document.maps}
        assert set(by_name) == {*KEPT, POLICY, CONNECTIONS, "cilium_node_map_v2"}
        assert "type 2" in by_name[OF_OTHER_TYPE].problem
        (address,) = ipcache_of(document).addresses
        assert address == "10.0.0.9"
        read = by_name[SERVICES]
        assert (read.key_size, read.value_size, read.max_entries) == (12, 12, 2 * entries)
        expected = sorted(key + value for key, value in map(service, range(entries)))
        assert read.data == b"".join(expected)
        assert (read.count, read.is_complete) == (entries, True)
        assert by_name[RANGES].count == 7
        policies = by_name[POLICY]
        assert (policies.count, policies.is_complete) == (9, True)
        numbers = struct.iter_unpack("=II4x12x", policies.data)
        assert sorted(numbers) == [(40, number) for number in range(9)]
        assert document.policies_read
        counted = EbpfMap(CONNECTIONS, LRU_HASH, 14, 56, 2 * entries, entries // 2)
        assert by_name[CONNECTIONS] == counted
        assert by_name["cilium_node_map_v2"].count == 0
        assert document.counted
        assert document.not_counted == 0
    limited = {each.name: each for each in documents[2].maps}
    assert (limited[SERVICES].count, limited[SERVICES].is_complete) == (5, False)
    assert not limited[CONNECTIONS].is_complete
    late = {each.name for each in documents[3].maps}
    assert (late, documents[3].not_counted) == (set(KEPT), 4)


NOTHING_PINNED = "/sys/fs/bpf/tc/globals: No such file or directory"


@pytest.mark.parametrize(
    ("mounts", "words"),
    [
        ("30 24 0:27 / /sys/fs/bpf rw shared:9 - bpf bpf rw,mode=700\n", NOTHING_PINNED),
        (
            "24 1 0:22 / /sys rw - sysfs sysfs rw\n",
            f"{NOTHING_PINNED}; no bpffs is mounted at /sys/fs/bpf",
        ),
        (None, NOTHING_PINNED),
    ],
)
def test_a_node_without_pinned_maps_names_the_folder_and_the_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str | None, words: str
) -> None:
    if mounts is not None:
        (tmp_path / "mountinfo").write_text(mounts)
    monkeypatch.setattr(bpf_access, "MOUNTS", str(tmp_path / "mountinfo"))
    monkeypatch.setattr(ebpf_maps, "ROOTS", (str(tmp_path),))
    found = msgspec.convert(ebpf_maps.read_all(1.0), EbpfMaps)
    assert found.maps == []
    assert found.problem == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("none integrity [confidentiality]\n", "The kernel is locked down (confidentiality)"),
        ("[none] integrity confidentiality\n", ""),
        ("\x1b[31m", ""),
    ],
)
def test_a_kernel_that_is_locked_down_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    file = tmp_path / "lockdown"
    file.write_text(text)
    monkeypatch.setattr(bpf_access, "LOCKDOWN", (str(file),))
    found = bpf_access.problem(errno.EPERM)
    assert found.removeprefix("Operation not permitted: ") == ". ".join(
        filter(None, [bpf_access.CAPABILITY, words])
    )


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ordinary files in the place of pins."""
    folder = tmp_path / PINS[1:]
    folder.mkdir(parents=True)
    monkeypatch.setattr(ebpf_maps, "ROOTS", (str(tmp_path),))
    return folder


def test_a_folder_without_maps_of_services_says_so(pinned: Path) -> None:
    (pinned / "cilium_metrics").touch()
    assert "no map of Services" in ebpf_maps.read_all(1.0)["problem"]


def test_maps_of_calico_are_named_and_not_read(
    pinned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cali_v4_nat_fe3", "cali_v6_nat_be", "cali_v4_nat_aff", "cali_v4_nat_fe3.md"):
        (pinned / name).touch()
    monkeypatch.setattr(ebpf_maps, "_count", lambda _, name, __: {"name": name, "count": 7})
    found = msgspec.convert(ebpf_maps.read_all(1.0), EbpfMaps)
    assert found.maps == []
    assert "no map of Services" in found.problem
    assert found.unsupported == [
        EbpfMap("cali_v4_nat_fe3", count=7),
        EbpfMap("cali_v6_nat_be", count=7),
    ]


def test_what_is_no_map_is_named_with_the_reason(pinned: Path) -> None:
    (pinned / SERVICES).touch()
    (found,) = msgspec.convert(ebpf_maps.read_all(1.0), EbpfMaps).maps
    assert found.name == SERVICES
    assert found.problem


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.ENOSYS])
def test_a_missing_right_names_the_capability(
    pinned: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        ctypes.set_errno(number)
        return -1

    (pinned / SERVICES).touch()
    monkeypatch.setattr(bpf_calls, "call", refuse)
    (found,) = ebpf_maps.read_all(1.0)["maps"]
    assert "CAP_BPF or CAP_SYS_ADMIN" in found["problem"]


def test_many_pins_are_bounded(pinned: Path) -> None:
    for number in range(ebpf_maps.MOST_MAPS + 10):
        (pinned / f"{SERVICES}{number}").touch()
    found = msgspec.convert(ebpf_maps.read_all(5.0), EbpfMaps)
    assert len(found.maps) == ebpf_maps.MOST_MAPS


def test_many_pins_that_are_counted_are_bounded(
    pinned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        (pinned / f"cilium_policy_v3_{number:05}").touch()
    (pinned / SERVICES).touch()
    (pinned / "cilium_node_map_v2").touch()
    monkeypatch.setattr(ebpf_maps, "MOST_COUNTED", 5)
    monkeypatch.setattr(ebpf_maps, "_count", lambda _, name, __: {"name": name, "max_entries": 1})
    monkeypatch.setattr(ebpf_maps, "_map", lambda _, name, *__: {"name": name, "max_entries": 1})
    found = msgspec.convert(ebpf_maps.read_all(5.0), EbpfMaps)
    assert [each.name for each in found.maps[1:3]] == ["cilium_node_map_v2", f"{POLICY[:-5]}00000"]
    assert (len(found.maps), found.not_counted) == (6, 26)


def test_the_bytes_of_all_policies_together_are_bounded(
    pinned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []

    def read(_: str, name: str, most: int, __: float) -> dict[str, object]:
        limits.append(most)
        return {"name": name, "columns": "A" * 400}

    for name in (SERVICES, POLICY, f"{POLICY[:-5]}00190", f"{POLICY[:-5]}00191"):
        (pinned / name).touch()
    monkeypatch.setattr(ebpf_maps, "_map", read)
    monkeypatch.setattr(ebpf_maps, "MOST_BYTES_OF_POLICIES", 1000)
    ebpf_maps.read_all(5.0)
    assert limits == [ebpf_maps.MOST_BYTES, 1000, 700, 400]


def test_the_map_of_a_pod_that_ended_meanwhile_is_left_out(
    pinned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: str, name: str, *_: object) -> dict[str, object]:
        if name != SERVICES:
            Path(path).unlink()
        return {"name": name, "problem": "No such file or directory"}

    (pinned / SERVICES).touch()
    (pinned / POLICY).touch()
    monkeypatch.setattr(ebpf_maps, "_map", read)
    assert [each["name"] for each in ebpf_maps.read_all(5.0)["maps"]] == [SERVICES]


def test_another_architecture_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf_calls, "SYSTEM_CALL", {})
    assert bpf_calls.call(0, ctypes.create_string_buffer(8)) == -1
    assert ctypes.get_errno() == errno.ENOSYS


def test_every_map_that_is_decoded_is_sent() -> None:
    assert all(ebpf_maps.KEPT.fullmatch(name) for name, _, _ in LAYOUTS)
    assert all(NAMES.fullmatch(name) for name, _, _ in LAYOUTS)
    assert all(ebpf_maps.OF_ADDRESSES.fullmatch(name) for name, _, _ in ADDRESS_LAYOUTS)
    assert all(OF_ADDRESSES.fullmatch(name) for name, _, _ in ADDRESS_LAYOUTS)
    assert all(ebpf_maps.OF_PODS.fullmatch(f"{name}_00189") for name, _, _ in POLICY_LAYOUTS)


def test_maps_are_opened_read_only(pinned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BPF_F_RDONLY: the kernel refuses every change through such a descriptor."""
    seen: list[tuple[int, bytes]] = []

    def note(command: int, attr: ctypes.Array[ctypes.c_char]) -> int:
        seen.append((command, attr.raw))
        ctypes.set_errno(errno.EPERM)
        return -1

    (pinned / SERVICES).touch()
    monkeypatch.setattr(bpf_calls, "call", note)
    ebpf_maps.read_all(1.0)
    ((command, attr),) = seen
    assert command == ebpf_maps.GET_PIN
    assert struct.unpack_from("=I", attr, 12)[0] == 1 << 3
