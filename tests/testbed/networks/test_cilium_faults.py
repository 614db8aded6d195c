"""What the steps of Cilium's faults do to maps and programs, with real ones in namespaces."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.faults.fault import Fault, load_faults
from tests.needs import lacking

FAULTS = {fault.name: fault for fault in load_faults()}

SETUP = """
import ctypes, json, os, socket, struct, subprocess, sys
step = sys.argv[1]
os.makedirs("/sys/fs/bpf/tc/globals")
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]

def bpf(command, attributes):
    attr = ctypes.create_string_buffer(attributes.ljust(128, bytes(1)), 128)
    done = libc.syscall(number, command, attr, 128)
    if done < 0:
        print("bpf(2): " + os.strerror(ctypes.get_errno()))
        sys.exit(77)
    return done

def text(content):
    return ctypes.create_string_buffer(content, len(content) + 1)

def made(name, kind, flags, room, entries):
    (first, second), = list(entries.items())[:1]
    fd = bpf(0, struct.pack("<5I", kind, len(first), len(second), room, flags))
    path = text(b"/sys/fs/bpf/tc/globals/" + name.encode())
    bpf(6, struct.pack("<QII", ctypes.addressof(path), fd, 0))
    for key, value in entries.items():
        key, value = text(key), text(value)
        at = ctypes.addressof(key), ctypes.addressof(value)
        bpf(2, struct.pack("<IIQQQ", fd, 0, *at, 0))

def program():
    # mov r0, -1; exit
    code, license = text(struct.pack("<BBhiBBhi", 0xB7, 0, 0, -1, 0x95, 0, 0, 0)), text(b"GPL")
    at = ctypes.addressof(code), ctypes.addressof(license)
    return bpf(5, struct.pack("<IIQQ", 3, 2, *at))

def run(source, *words):
    argv = [sys.executable, "-c", source, *words]
    done = subprocess.run(argv, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()

def seen():
    show = SHOW if maps else SHOW_PROGRAMS
    source = step.replace("globals()[sys.argv[1]](*sys.argv[2:])", show)
    return json.loads(run(source, *maps))

maps = json.loads(sys.argv[2])
for name, (kind, flags, room, entries) in maps.items():
    made(name, kind, flags, room, {bytes.fromhex(k): bytes.fromhex(v) for k, v in entries.items()})
if not maps:
    links = []
    for device in ("lxca", "lxcb"):
        subprocess.check_call(["ip", "link", "add", device, "type", "veth"])
        index = socket.if_nametoindex(device)
        links.append(bpf(28, struct.pack("<6IQ", program(), index, 46, 0, 0, 0, 0)))
states = [seen()]
said = []
for words in json.loads(sys.argv[3]):
    if words[0] == "rm":
        os.unlink(words[1])
    else:
        said.append(run(step, *words))
    states.append(seen())
print(json.dumps([states, said]))
"""
SHOW = """
print(json.dumps({n: {k.hex(): Map(n).get(k).hex() for k in Map(n).keys()} for n in sys.argv[1:]}))
"""
SHOW_PROGRAMS = """
print(json.dumps([len(attached(each)[0]) for each in ("lxca", "lxcb")]))
"""

HASH, LPM = 1, 11
WEB, OTHER = "0a609ac50050020006000000", "0a60e02b0050020006000000"
SERVICES = {
    "cilium_lb4_services_v2": [
        HASH,
        1,
        300,
        {WEB: "170000000000001110000000", OTHER: "170000000000001200100000"},
    ]
}
"""The frontends 10.96.154.197:80 and 10.96.224.43:80, as a node had them."""

ENDPOINT = "0af401bb00000000000000000000000001000000"
ENDPOINT_STATE = f"1e00000000004401{'00' * 40}"
ALLOWED = {"280000000100000000000000": "0000000001ffffff00000000"}
ANYBODY = {"280000000000000000000000": "0000000001ffffff00000000"}
POLICY = "cilium_policy_v3_00324"
POLICIES = {
    "cilium_lxc": [HASH, 1, 9, {ENDPOINT: ENDPOINT_STATE}],
    POLICY: [LPM, 1, 9, ALLOWED],
}
"""The endpoint 324 of the pod 10.244.1.187, into which only the node may send."""

pytestmark = pytest.mark.needs("root", "unshare", "mount", "ip")


def script(fault: Fault) -> str:
    return next(step.script for step in fault.inject if step.script)


STEP = script(FAULTS["endpoint-program-detached"])


def done(maps: object, *calls: list[str]) -> tuple[list[object], list[str]]:
    """What maps (or devices) hold before and after each call, and what the calls said."""
    mounted = "mount -t bpf none /sys/fs/bpf && mount -t tmpfs none /run || exit 77"
    setup = SETUP.replace("SHOW_PROGRAMS", repr(SHOW_PROGRAMS)).replace("SHOW if", f"{SHOW!r} if")
    words = [sys.executable, "-c", setup, STEP, json.dumps(maps), json.dumps(calls)]
    ended = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", f'{mounted}; exec "$@"', "sh", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if ended.returncode == 77:
        lacking("bpf", f"which is not permitted or not in this kernel: {ended.stdout}")
    assert ended.returncode == 0, ended.stderr
    states, said = json.loads(ended.stdout)
    return states, said


def entries(state: object, name: str) -> dict[str, str]:
    assert isinstance(state, dict)
    found: dict[str, str] = state[name]
    return found


def test_the_entries_of_an_address_and_port_are_deleted_and_put_back() -> None:
    name = "cilium_lb4_services_v2"
    states, said = done(SERVICES, ["delete", name, "10.96.154.197", ":80"], ["restore", name])

    assert said == ["", ""]
    assert set(entries(states[1], name)) == {OTHER}
    assert states[2] == states[0]


@pytest.mark.parametrize("words", [["10.96.154.198", ":80"], ["10.96.154.197", ":81"]])
def test_a_step_that_finds_nothing_to_delete_fails(words: list[str]) -> None:
    states, said = done(SERVICES, ["delete", "cilium_lb4_services_v2", *words])

    assert said == ["no such entry"]
    assert states[1] == states[0]


SLOT, OTHER_SLOT = "0a609ac50050010006000000", "0a60e02b0050010006000000"
RANGES = "cilium_lb4_source_range"


def test_a_slot_gets_the_backend_of_another_service_and_its_own_again() -> None:
    name = "cilium_lb4_services_v2"
    values = {SLOT: "17" + "00" * 11, OTHER_SLOT: "2a" + "00" * 11}
    maps = {name: [HASH, 1, 300, {WEB: f"{0:024}", **values}]}
    states, said = done(maps, ["redirect", name, "10.96.154.197"], ["restore", name])

    assert said == ["", ""]
    assert entries(states[1], name) == entries(states[0], name) | {SLOT: values[OTHER_SLOT]}
    assert states[2] == states[0]


def test_the_beginning_of_a_value_is_overwritten_and_comes_back() -> None:
    name = "cilium_lb4_services_v2"
    overwrite = ["overwrite", name, "02000000", "10.96.224.43"]
    states, said = done(SERVICES, overwrite, ["restore", name])

    assert said == ["", ""]
    assert entries(states[1], name) == entries(states[0], name) | {
        OTHER: "020000000000001200100000"
    }
    assert states[2] == states[0]


def test_all_addresses_are_allowed_beside_a_range() -> None:
    allowed = {"380000001c0a0000c0a80700": "00"}
    states, said = done({RANGES: [LPM, 1, 9, allowed]}, ["widen", RANGES], ["restore", RANGES])

    assert said == ["", ""]
    assert entries(states[1], RANGES) == allowed | {"200000001c0a000000000000": "00"}
    assert states[2] == states[0]


def test_a_map_is_filled_and_emptied_again() -> None:
    name = "cilium_lb4_services_v2"
    states, said = done(SERVICES, ["fill", name], ["restore", name])

    assert said == ["", ""]
    assert len(entries(states[1], name)) == 300
    assert states[2] == states[0]


def test_the_policy_of_a_pod_is_found_by_its_address() -> None:
    (key, value), *_ = ANYBODY.items()
    add = ["add", "policy", "10.244.1.187", key, value]
    delete = ["delete", "policy", "10.244.1.187"]
    restore = ["restore", "policy"]
    states, said = done(POLICIES, add, restore, delete, restore)

    assert said == [""] * 4
    seen = [entries(state, POLICY) for state in states]
    assert seen == [ALLOWED, ALLOWED | ANYBODY, ALLOWED, {}, ALLOWED]


def test_a_device_gets_a_second_program_and_loses_it_with_its_pin() -> None:
    pin = ["rm", "/sys/fs/bpf/wirecheck-testbed"]
    states, said = done({}, ["double", "lxca"], pin, ["detach", "lxca"], ["detach", "lxca"])

    assert states == [[1, 1], [2, 1], [1, 1], [0, 1], [0, 1]]
    assert said == ["", "", "nothing is attached"]


def test_policies_are_changed_by_what_the_map_of_a_real_node_had() -> None:
    """Any identity, protocol and port: the entry that let everybody in on a real cluster."""
    (step,) = FAULTS["policy-lets-everybody-in"].inject

    (key, value), *_ = ANYBODY.items()
    assert step.passes == ["add", "policy", "address", key, value]


def test_the_scripts_of_the_other_faults_are_python(tmp_path: Path) -> None:
    for fault in FAULTS.values():
        for step in (*fault.inject, *fault.remove):
            compile(step.script, str(tmp_path / fault.name), "exec")
