"""Neighbour entries with a wrong MAC, on nodes of recorded clusters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.changed_recordings import Document, changed, found, items
from wirecheck.catalogue.findings import Outcome

RECORDED = Path(__file__).parent.parent / "recorded"
CALICO = RECORDED / "calico" / "healthy-iptables"
KIND = RECORDED / "networks" / "kind-healthy"
FLANNEL = RECORDED / "networks" / "kube-router-healthy"
CHECK = "links.neighbours_correct"
WRONG = "0a:00:00:00:00:77"

Entry = dict[str, Any]


def of_the_node(document: Document) -> Entry:
    """The first entry that the node has for one of its pods."""
    pods = {
        each["address"]
        for netns in document["namespaces"][1:]
        for each in netns["addresses"]
        if each["address"].startswith("10.244.")
    }
    entries: list[Entry] = document["namespaces"][0]["neighbours"]
    return next(e for e in entries if e["address"] in pods and e["state"] == "REACHABLE")


def of_a_pod(document: Document) -> Entry:
    """The first entry that a pod has for its gateway."""
    gateways = {
        route["gateway"]
        for netns in document["namespaces"][1:]
        for route in netns["routes"]
        if route["destination"] == "default" and route["family"] == 4
    }
    entries: list[Entry] = [e for n in document["namespaces"][1:] for e in n["neighbours"]]
    return next(e for e in entries if e["address"] in gateways and e["state"] == "REACHABLE")


def with_entry(
    recording: Path, copy: Path, which: Callable[[Document], Entry], **changes: str
) -> Path:
    def change(node: str, document: Document) -> None:
        if node.endswith("w1"):
            which(document).update(changes)

    return changed(recording, copy, change)


@pytest.mark.parametrize("state", ["PERMANENT", "REACHABLE"])
@pytest.mark.parametrize("which", [of_the_node, of_a_pod])
@pytest.mark.parametrize("recording", [CALICO, KIND, FLANNEL], ids=lambda each: each.name)
def test_a_wrong_mac_in_use_is_found(recording, which, state, tmp_path):
    folder = with_entry(recording, tmp_path, which, mac=WRONG, state=state)

    [(node, what, said)] = found(folder, CHECK)
    assert node.endswith("w1")
    assert what.startswith("Pod ")
    assert said == f"MAC {WRONG}, {state}"
    [remedy] = [each.remedy for item in items(folder, CHECK) for each in item.findings]
    assert ("nsenter" in remedy) is (which is of_a_pod)


@pytest.mark.parametrize("state", ["STALE", "DELAY", "PROBE", "FAILED", "INCOMPLETE"])
def test_an_entry_that_the_kernel_is_about_to_verify_does_not_count(state, tmp_path):
    assert found(with_entry(FLANNEL, tmp_path, of_the_node, mac=WRONG, state=state), CHECK) == []


@pytest.mark.parametrize("recording", [CALICO, KIND, FLANNEL], ids=lambda each: each.name)
def test_entries_of_a_healthy_cluster_are_right(recording):
    assert {each.outcome for each in items(recording, CHECK)} == {Outcome.PASS}


def test_cilium_needs_no_entries_of_the_node():
    results = items(RECORDED / "networks" / "cilium-healthy", CHECK)

    assert {each.outcome for each in results} == {Outcome.SKIP}
