"""Whole runs on the clusters that ship with the package: what a newcomer sees first."""

import json
from pathlib import Path

import pytest

from testbed.faults.fault import load_faults
from testbed.record import BROKEN, RECORDED
from wirecheck.catalogue import load
from wirecheck.findings import Outcome
from wirecheck.judge import judge
from wirecheck.snapshot.folder import Snapshot
from wirecheck.verdict import exit_status

SECRETS = ("BEGIN CERTIFICATE", "PRIVATE KEY", "client-key-data", "eyJhbGciOi", "last-applied")


def items(name: str):
    return list(judge(Snapshot.open(RECORDED / name), load()))


def red(name: str) -> set[tuple[str, str]]:
    outcomes = (Outcome.FAIL, Outcome.WARN, Outcome.ERROR)
    return {(each.check, str(each.outcome)) for each in items(name) if each.outcome in outcomes}


def test_the_healthy_cluster_is_healthy_and_was_looked_at():
    judged = items("healthy")

    assert red("healthy") == set()
    assert exit_status(judged) == 0
    assert sum(each.outcome is Outcome.PASS for each in judged) > 90


def test_the_broken_cluster_shows_every_fault_that_was_put_in():
    faults = [fault for fault in load_faults() if fault.name in BROKEN]
    expected = {(check, outcome) for fault in faults for check, _, outcome in fault.reds()}

    assert len(faults) == len(BROKEN)
    assert red("broken") == expected
    assert exit_status(items("broken")) == 1


def test_a_cluster_that_an_older_wirecheck_recorded_is_judged_as_before():
    """Facts that were not read then are skipped with that reason, and nothing else changes."""
    old = Snapshot.open(Path(__file__).parent / "recorded" / "clusters" / "broken")
    outcomes = (Outcome.FAIL, Outcome.WARN, Outcome.ERROR)

    assert {(i.check, str(i.outcome)) for i in judge(old, load()) if i.outcome in outcomes} == (
        red("broken")
    )


def test_a_replay_gives_the_same_verdicts():
    assert items("broken") == items("broken")


@pytest.mark.parametrize("name", ["healthy", "broken"])
def test_nothing_secret_is_in_a_recorded_cluster(name: str):
    snapshot = Snapshot.open(RECORDED / name)
    texts = [(RECORDED / name / "snapshot.json").read_text(), repr(snapshot.api())]
    texts += [repr(snapshot.document(node)) for node in snapshot.index.looks[0].visits]

    assert not [secret for secret in SECRETS for text in texts if secret in text]


@pytest.mark.parametrize("check", load(), ids=lambda check: check.id)
def test_every_check_applies_to_the_recorded_cluster(check):
    """A check that is skipped everywhere is proven by nothing here."""
    if check.id == "conntrack.has_kube_proxys_limit":
        pytest.skip("kube-proxy of the test cluster leaves the limit of the shared kernel alone")
    if check.id == "nodes.have_room_for_neighbours":
        pytest.skip("the recorded nodes are containers, which do not see the limit")
    if check.id == "cni.has_a_token_that_lasts":
        pytest.skip("the CNI plugin of the test cluster has no token of its own")
    outcomes = {each.outcome for each in judge(Snapshot.open(RECORDED / "healthy"), [check])}

    assert Outcome.PASS in outcomes


def test_the_index_is_plain_json():
    for name in ("healthy", "broken"):
        index = json.loads(Path(RECORDED / name / "snapshot.json").read_text())
        assert index["format"] == 1
