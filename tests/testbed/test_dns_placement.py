"""Where CoreDNS runs when a fault is put in."""

from __future__ import annotations

import json

import pytest

from testbed.commands import TestbedError
from testbed.faults import dns_placement


def asked(
    monkeypatch: pytest.MonkeyPatch, places: dict[str, str], nodes: list[str]
) -> list[tuple[str, ...]]:
    """What is asked of kubectl, but for what there is: pods by node, and nodes."""
    commands: list[tuple[str, ...]] = []

    def kubectl(*words: str, **_: object) -> str:
        if "pods" in words:
            pods = [{"metadata": {"name": p}, "spec": {"nodeName": n}} for p, n in places.items()]
            return json.dumps({"items": pods})
        if "nodes" in words:
            return json.dumps({"items": [{"metadata": {"name": each}} for each in nodes]})
        commands.append(words)
        if "rollout" in words and "stuck" in places:
            raise TestbedError("timed out")
        return ""

    monkeypatch.setattr(dns_placement, "kubectl", kubectl)
    return commands


def test_where_no_replica_runs_on_the_free_worker_nothing_is_moved(monkeypatch):
    commands = asked(monkeypatch, {"a": "wc-cp", "b": "wc-w1"}, ["wc-cp", "wc-w1", "wc-w2"])

    dns_placement.clear_of_dns()

    assert commands == []


def test_a_replica_on_it_moves_and_not_to_the_virtual_machine(monkeypatch):
    nodes = ["wc-cp", "wc-w1", "wc-w2", "wc-vm"]
    commands = asked(monkeypatch, {"a": "wc-cp", "b": "wc-w2"}, nodes)

    dns_placement.clear_of_dns()

    cordoned, deleted, waited, uncordoned = commands
    assert cordoned == ("cordon", "wc-vm", "wc-w2")
    assert deleted[2:5] == ("delete", "pod", "b")
    assert "status" in waited
    assert uncordoned == ("uncordon", "wc-vm", "wc-w2")


def test_nodes_take_pods_again_where_it_did_not_move(monkeypatch):
    commands = asked(monkeypatch, {"stuck": "wc-w2"}, ["wc-cp", "wc-w2"])

    with pytest.raises(TestbedError):
        dns_placement.clear_of_dns()

    assert commands[-1] == ("uncordon", "wc-w2")
