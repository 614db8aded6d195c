"""The fault `flannel-vxlan-down`: its set, compared with a recorded cluster in the same state.

Kernel 6.18, tried in a network namespace: setting a VXLAN device down removes its routes and its
permanent neighbours, and keeps its permanent FDB entries.
"""

from __future__ import annotations

from pathlib import Path

from testbed.faults.fault import load_faults
from testbed.record import RECORDED
from tests.changed_recordings import Document, changed
from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import load
from wirecheck.evaluation.before_helper_pods import is_read_before
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.results.causes import symptoms
from wirecheck.run.selection import in_profile
from wirecheck.snapshot.folder import Snapshot

NODE, DEVICE = "wc-w2", "flannel.1"


def set_down(name: str, document: Document) -> None:
    """What `ip link set flannel.1 down` leaves on the node."""
    if name != NODE:
        return
    host = document["namespaces"][0]
    (device,) = [each for each in host["links"] if each["name"] == DEVICE]
    device["flags"] = [each for each in device["flags"] if each not in ("UP", "LOWER_UP")]
    for kind in ("routes", "neighbours"):
        host[kind] = [each for each in host[kind] if each.get("index") != device["index"]]


def test_what_needs_no_packets_is_exactly_its_set(tmp_path: Path) -> None:
    (fault,) = [each for each in load_faults() if each.name == "flannel-vxlan-down"]
    checks = [each for each in in_profile(load(), None) if is_read_before(each)]

    items = list(evaluate(Snapshot.open(changed(RECORDED / "healthy", tmp_path, set_down)), checks))

    bad = {(e.check, str(e.outcome)) for e in items if e.outcome in (Outcome.FAIL, Outcome.ERROR)}
    known = {each.id for each in checks}
    assert bad == {(check, outcome) for check, _, outcome in fault.reds() if check in known}
    assert {each.node for each in items if each.outcome is Outcome.FAIL} == {NODE}
    # One cause, of which all others are symptoms.
    failing = {(each.check, each.node) for each in items if each.outcome is Outcome.FAIL}
    assert failing - symptoms(items).keys() == {("cni.devices_up", NODE)}
