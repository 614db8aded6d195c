"""The proof of read-only sees a change of a pinned eBPF map; maps are made here for real."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from testbed.readonly import ebpf_state
from testbed.readonly.comparison import differences
from tests.collect.on_node.test_ebpf_maps import HASH, PINS, TRIE, make, put, run_alone, service

SERVICES, TABLE = "cilium_lb4_services_v2", "cilium_ct4_global"


def make_and_compare() -> None:
    """In a mount namespace of its own: print the state before and after each change."""
    subprocess.run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"], check=True)
    Path(PINS).mkdir(parents=True)
    services, table = make(SERVICES, HASH, 12, 12, 10), make(TABLE, HASH, 14, 56, 10)
    make("cilium_ipcache_v2", TRIE, 24, 24, 10)
    put(services, *service(1))
    states = [ebpf_state.state(), ebpf_state.state()]
    put(table, bytes(14), bytes(56))
    states.append(ebpf_state.state())
    key, value = service(1)
    put(services, key, value[:-2] + struct.pack("=H", 7))
    states.append(ebpf_state.state())
    Path(PINS, "left-behind").mkdir()
    make("left-behind/cilium_lxc", HASH, 20, 48, 10)
    states.append(ebpf_state.state())
    sys.stdout.write(json.dumps(states))


@pytest.mark.needs("root", "unshare")
def test_a_changed_entry_and_a_new_pin_are_noticed() -> None:
    states = json.loads(run_alone(__name__, "make_and_compare()"))
    found = [
        {each.what for each in differences({"n1": before}, {"n1": after})}
        for before, after in pairwise(states)
    ]
    # An entry that a connection makes is not a difference.
    assert found == [set(), set(), {f"{PINS}/{SERVICES}"}, {f"{PINS}/left-behind/cilium_lxc"}]
    pins = states[0]["eBPF pins"]
    assert "; entries: 1; " in pins[f"{PINS}/{SERVICES}"]
    assert "entries" not in pins[f"{PINS}/{TABLE}"]


def test_a_node_without_pins_has_no_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ebpf_state, "PINS", str(tmp_path))
    assert ebpf_state.state() == {}


def test_what_is_no_map_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / SERVICES).touch()
    monkeypatch.setattr(ebpf_state, "PINS", str(tmp_path))
    (text,) = ebpf_state.state()["eBPF pins"].values()
    assert text.startswith("not opened: ")
