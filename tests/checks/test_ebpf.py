"""ebpf.*: the maps of Cilium's nodes, with the entries that they had on real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.changed_recordings import Document, found, items
from tests.test_network_recordings import FOLDER
from wirecheck.catalogue.findings import Level, Outcome

USAGE = "ebpf.map_usage"
SERVICES, POLICY = "cilium_lb4_services_v2", "cilium_policy_v3_00189"
TCP = "cilium_ct4_global"
MakeRecording = Callable[..., Path]


def _change(name: str, **fields: object) -> Callable[[str, Document], None]:
    def change(node: str, document: Document) -> None:
        if node == "td-w1":
            (chosen,) = (each for each in document["ebpf"]["maps"] if each["name"] == name)
            chosen.update(fields)

    return change


def _add(**fields: object) -> Callable[[str, Document], None]:
    def change(node: str, document: Document) -> None:
        if node == "td-w1":
            entry = {"type": 9, "key_size": 14, "value_size": 56, "max_entries": 200_000, **fields}
            document["ebpf"]["maps"].append(entry)

    return change


@pytest.mark.parametrize("recording", ["healthy", "dual-stack", "beside-kube-proxy"])
def test_maps_with_free_entries_pass(with_maps: MakeRecording, recording: str) -> None:
    results = items(with_maps(recording), USAGE)
    assert [each.outcome for each in results] == [Outcome.PASS] * 3
    assert not any(each.unjudged for each in results)


@pytest.mark.parametrize(
    ("name", "limit", "level", "remedy"),
    [
        (SERVICES, 250, Level.WARN, "bpf-lb-map-max"),
        (SERVICES, 200, Level.FAIL, "bpf-lb-map-max"),
        (SERVICES, 196, Level.FAIL, "bpf-lb-map-max"),
        ("cilium_lb4_backends_v3", 34, Level.FAIL, "bpf-lb-map-max"),
        (POLICY, 20, Level.FAIL, "bpf-policy-map-max"),
        ("cilium_node_map_v2", 7, Level.WARN, "bpf-node-map-max"),
        ("cilium_lxc", 16, Level.FAIL, "no setting"),
        ("cilium_ipcache_v2", 50, Level.WARN, "no setting"),
    ],
)
def test_a_map_that_is_nearly_full_is_found(
    with_maps: MakeRecording, name: str, limit: int, level: Level, remedy: str
) -> None:
    results = items(with_maps("healthy", _change(name, max_entries=limit)), USAGE)
    (finding,) = (each for result in results for each in result.findings)
    assert finding.level is level
    assert str(finding.object) == f"Node td-w1 {name}"
    assert f"of {limit:,} entries" in finding.expected
    assert remedy in finding.remedy
    assert "exec cilium-vfd9k -- cilium-dbg map list" in finding.remedy


@pytest.mark.parametrize("limit", [262, 65_536])
def test_three_quarters_are_still_enough(with_maps: MakeRecording, limit: int) -> None:
    assert found(with_maps("healthy", _change(SERVICES, max_entries=limit)), USAGE) == []


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        (TCP, "bpf-ct-global-tcp-max"),
        ("cilium_ct_any6_global", "bpf-ct-global-any-max"),
        ("cilium_snat_v4_external", "bpf-nat-global-max"),
    ],
)
def test_maps_of_connections_and_nat_are_evaluated(
    with_maps: MakeRecording, name: str, setting: str
) -> None:
    results = items(with_maps("healthy", _add(name=name, count=190_000)), USAGE)
    (finding,) = (each for result in results for each in result.findings)
    assert finding.found == "190,000 entries, 95 %"
    assert setting in finding.remedy


def test_a_count_that_was_cut_is_the_least(with_maps: MakeRecording) -> None:
    cut = _add(name=TCP, count=160_000, is_complete=False)
    ((_, _, words),) = found(with_maps("healthy", cut), USAGE)
    assert words == "at least 160,000 entries, 80 %"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_add(name=TCP, count=60_000, is_complete=False), "only 60,000 entries"),
        (_add(name=TCP, problem="Permission denied", max_entries=0), "Permission denied"),
        (_change(POLICY, problem="Operation not permitted"), "not permitted"),
        (lambda _, document: document["ebpf"].update(not_counted=12), "12 further pins"),
    ],
)
def test_what_was_not_counted_is_inconclusive(
    with_maps: MakeRecording, change: Callable[[str, Document], None], reason: str
) -> None:
    results = items(with_maps("healthy", change), USAGE)
    assert {each.outcome for each in results} == {Outcome.PASS}
    assert [why for each in results for why in each.unjudged if reason in why]


def test_recordings_without_counts_are_not_applicable(with_maps: MakeRecording) -> None:
    folder = with_maps("healthy", lambda _, document: document["ebpf"].pop("counted"))
    assert {each.outcome for each in items(folder, USAGE)} == {Outcome.SKIP}
    assert {each.outcome for each in items(FOLDER / "cilium-healthy", USAGE)} == {Outcome.SKIP}
    assert {each.outcome for each in items(FOLDER / "kind-healthy", USAGE)} == {Outcome.SKIP}


def test_maps_that_cannot_be_read_are_an_error(with_maps: MakeRecording) -> None:
    def change(_: str, document: Document) -> None:
        document["ebpf"] = {"byte_order": "little", "problem": "No such file or directory"}

    results = items(with_maps("healthy", change), USAGE)
    assert {each.outcome for each in results} == {Outcome.ERROR}
    assert all("No such file" in each.reason for each in results)
