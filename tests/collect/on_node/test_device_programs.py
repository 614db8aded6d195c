"""Programs of interfaces are listed as the kernel has them; they are loaded here for real."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.collect.on_node.conftest import FakeNode, plan
from wirecheck.collect.on_node import bpf_calls, device_programs, rtnetlink
from wirecheck.collect.on_node.netlink import Netlink, attribute

MakeNode = Callable[..., FakeNode]
LOAD, LINK_CREATE = 5, 28
SCHED_CLS, XDP = 3, 6
NEW_QUEUE, NEW_FILTER, CREATE_AND_CONFIRM = 36, 44, 0x605


def bpf(command: int, attr: bytes) -> int:
    return bpf_calls.call(command, ctypes.create_string_buffer(attr, 128))


def load(kind: int, name: bytes) -> int:
    """The descriptor of a program that returns 2."""
    code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 2, 0x95, 0, 0, 0), 16)
    license_ = ctypes.create_string_buffer(b"GPL")
    places = ctypes.addressof(code), ctypes.addressof(license_)
    return bpf(LOAD, struct.pack("=IIQQIIQII16s", kind, 2, *places, 0, 0, 0, 0, 0, name))


def attach_and_list() -> None:
    """In a netns of its own: print what is listed."""
    subprocess.run(["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"], check=True)
    netlink = Netlink()
    links = rtnetlink.links(netlink)
    index = {each["name"]: each["index"] for each in links}
    queue = device_programs.TC.pack(0, index["v0"], 0xFFFF0000, 0xFFFFFFF1, 0)
    list(netlink.answers(NEW_QUEUE, CREATE_AND_CONFIRM, queue + attribute(1, b"clsact\0")))
    program, xdp = load(SCHED_CLS, b"tc_drop_all"), load(XDP, b"xdp_with_a_long_name"[:15])
    kept = [
        bpf(LINK_CREATE, struct.pack("=IIII", program, index["v0"], 47, 0)),
        bpf(LINK_CREATE, struct.pack("=IIII", xdp, index["v1"], 37, 0)),
    ]
    options = attribute(6, struct.pack("=I", program)) + attribute(7, b"classifier\0")
    options += attribute(8, struct.pack("=I", 1))
    body = device_programs.TC.pack(0, index["v0"], 0, 0xFFFFFFF2, (1 << 16) | 0x0300)
    body += attribute(1, b"bpf\0") + attribute(2, options)
    list(netlink.answers(NEW_FILTER, CREATE_AND_CONFIRM, body))
    names = {number: name for name, number in index.items()}
    found = [
        [names[each["index"]], each["hook"], each["kind"], each["name"], each["id"] > 0]
        for each in device_programs._programs(links)
    ]
    sys.stdout.write(json.dumps([found, kept]))


def can_load() -> bool:
    if os.geteuid() != 0:
        return False
    descriptor = load(SCHED_CLS, b"probe")
    if descriptor >= 0:
        os.close(descriptor)
    return descriptor >= 0


@pytest.mark.needs("root", "ip", "unshare")
def test_programs_of_every_hook_are_listed() -> None:
    if not can_load():
        pytest.skip("the kernel loads no programs here")
    module = f"from {__name__} import attach_and_list as run; run()"
    finished = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", module],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    found, kept = json.loads(finished.stdout)
    expected = [["v0", "tc ingress", "bpf", "classifier", True]]
    if kept[1] >= 0:
        expected.append(["v1", "xdp", "bpf", "xdp_with_a_long", True])
    if kept[0] >= 0:
        expected.append(["v0", "tcx egress", "bpf", "tc_drop_all", True])
    assert sorted(found) == sorted(expected)


def test_pods_and_the_node_have_no_programs_of_their_own(fake_node: MakeNode) -> None:
    seen = fake_node(web={}).visit(plan())

    assert seen.netns("").programs == []
    assert seen.netns("web").programs == []
    assert not seen.document.problems


def test_another_architecture_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf_calls, "SYSTEM_CALL", {})

    assert device_programs.query(1, 46) is None
    assert device_programs.name_of(2**32 - 2) == ""


def test_a_filter_without_options_is_a_chain() -> None:
    assert device_programs._filter({1: b"u32\0"}) == {}
    assert device_programs._filter({1: b"u32\0", 2: b""}) == {"kind": "u32", "name": ""}


def test_actions_are_named() -> None:
    def nested(kind: int, value: bytes) -> bytes:
        return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)

    def action(kind: bytes, verdict: int) -> bytes:
        parameters = nested(2, struct.pack("=IIi", 1, 0, verdict))
        return nested(1, nested(1, kind) + nested(2, parameters))

    for kind, verdict, name in (
        (b"gact\0", 2, "drop"),
        (b"gact\0", 0, "pass"),
        (b"mirred\0", 4, "mirred"),
    ):
        found = device_programs._filter({1: b"u32\0", 2: nested(7, action(kind, verdict))})
        assert found == {"kind": "u32", "name": name}
