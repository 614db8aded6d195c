"""Waiting for a cluster to become healthy, on a clock that the test turns."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.collect.conftest import status
from tests.served_cluster import Listener, ServedCluster
from tests.snapshots import CHECKS, broken, healthy
from wirecheck.catalogue.findings import Outcome
from wirecheck.collect.api.client import ApiError
from wirecheck.results.jsonl import read_results
from wirecheck.results.records import ItemResult, Results
from wirecheck.run import live
from wirecheck.run.durations import read_duration
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request
from wirecheck.run.waiting import PAUSE, Clock, Waiting
from wirecheck.snapshot.folder import Snapshot


class Hands:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.time = 100.0
        self.slept: list[float] = []

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.time, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


def item(check: str, outcome: Outcome, node: str = "w1", **more) -> ItemResult:
    return ItemResult(check, outcome, node=node, **more)


RED = item("dns.a", Outcome.FAIL)
WELL = item("dns.a", Outcome.PASS)


def test_it_waits_while_something_is_red_and_time_is_left():
    hands = Hands()
    waiting = Waiting(50, hands.clock)

    waiting.saw([RED], "fail")
    for _ in range(3):
        assert waiting.goes_on
        waiting.pause()
        waiting.saw([RED], "fail")

    assert hands.slept == [PAUSE, PAUSE, 10.0]
    assert not waiting.goes_on


def test_how_long_each_took_is_kept_and_a_relapse_counts():
    hands = Hands()
    waiting = Waiting(600, hands.clock)
    waiting.saw([RED, item("dns.b", Outcome.ERROR)], "fail")
    waiting.pause()
    waiting.saw([WELL, item("dns.b", Outcome.PASS)], "fail")
    assert not waiting.goes_on
    waiting.pause()
    waiting.saw([RED, item("dns.b", Outcome.PASS)], "fail")
    assert waiting.goes_on
    waiting.pause()
    waiting.saw([WELL, item("dns.b", Outcome.PASS)], "fail")

    record = waiting.record
    assert [(each.check, each.seconds) for each in record.healed] == [
        ("dns.b", PAUSE),
        ("dns.a", 3 * PAUSE),
    ]
    assert (record.rounds, record.limit) == (4, 600)


@pytest.mark.parametrize(
    ("found", "fail_on", "goes_on"),
    [
        (item("a.b", Outcome.WARN), "fail", False),
        (item("a.b", Outcome.WARN), "warn", True),
        (item("a.b", Outcome.KNOWN), "fail", False),
        (item("a.b", Outcome.ERROR, folded=True), "fail", False),
        (item("nodes.reachable", Outcome.ERROR), "fail", True),
    ],
)
def test_what_is_worth_waiting_for(found, fail_on, goes_on):
    waiting = Waiting(60, Hands().clock)

    waiting.saw([found], fail_on)

    assert waiting.goes_on is goes_on


def test_missing_nodes_that_are_accepted_are_not_waited_for():
    waiting = Waiting(60, Hands().clock)
    seen = item("nodes.reachable", Outcome.PASS, "w2")

    waiting.saw([item("nodes.reachable", Outcome.ERROR), seen], "fail", unreachable=1)

    assert not waiting.goes_on


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1h5s", 3605)]
)
def test_durations(text, seconds):
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10 m", "1m1h", "-5", "ten"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="is not a duration"):
        read_duration(text)


@pytest.fixture
def served(server, monkeypatch):
    cluster = ServedCluster(server)
    cluster.serve(healthy())
    monkeypatch.setattr(live.time, "sleep", lambda _: None)
    monkeypatch.setattr("wirecheck.run.round.visit_all", cluster.visit_all)
    monkeypatch.setattr("wirecheck.run.access.container_access", cluster.container_access)
    return cluster


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def run(kubeconfig, tmp_path, hands):
    def run(**options) -> tuple[Results, Path]:
        folder = tmp_path / "reports"
        request = Request(kubeconfig=kubeconfig, report_dir=folder, rounds=1, **options)
        return perform(request, CHECKS, Listener(), hands.clock)

    return run


def test_a_cluster_that_heals_is_healthy_and_the_snapshot_is_the_last_one(run, served, hands):
    served.looks = [broken(), broken(), healthy()]

    results, folder = run(wait=600.0)

    assert (results.ended.status, len(served.visited)) == (0, 3)
    assert hands.slept == [PAUSE, PAUSE]
    (healed,) = results.ended.wait.healed
    assert (healed.check, healed.node, healed.seconds) == (
        "pods.ip_on_interface",
        "n1",
        2 * PAUSE,
    )
    assert read_results(folder / "results.jsonl") == results
    assert "HEALED" not in (folder / "report.html").read_text()
    assert "pods.ip_on_interface on n1 was healthy" in (folder / "report.html").read_text()
    assert len(Snapshot.open(folder / "snapshot").index.looks) == 1
    assert sorted(path.name for path in folder.iterdir()) == [
        "junit.xml",
        "report.html",
        "results.jsonl",
        "snapshot",
    ]


def test_a_cluster_that_does_not_heal_fails_when_the_time_is_up(run, served):
    served.looks = [broken()]

    results, _ = run(wait=30.0)

    assert results.ended.status == 1
    assert (results.ended.wait.rounds, results.ended.wait.healed) == (3, [])


def test_without_wait_nobody_waits(run, served, hands):
    served.looks = [broken()]

    results, _ = run()

    assert (hands.slept, results.ended.wait) == ([], None)


def test_an_api_that_is_away_for_a_while_is_waited_for(run, served, hands):
    away = status(404, "NotFound")
    served.server.script("/api/v1/nodes", away, away)

    assert run(wait=600.0)[0].ended.status == 0
    assert len(hands.slept) == 2


def test_an_api_that_stays_away_is_the_error_that_it_is(run, served, hands):
    served.server.script("/api/v1/nodes", *[status(404, "NotFound")] * 9)

    with pytest.raises(ApiError):
        run(wait=30.0)
    assert sum(hands.slept) == 30


def test_a_refusal_is_not_waited_out(run, served, hands):
    served.server.script("/api/v1/nodes", status(403, "Forbidden"))

    with pytest.raises(ApiError):
        run(wait=600.0)
    assert hands.slept == []


def test_ctrl_c_while_waiting_leaves_the_last_results(run, served, hands, monkeypatch):
    served.looks = [broken()]

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(hands, "sleep", interrupted)

    results, folder = run(wait=600.0)

    assert results.ended.status == 1
    assert (folder / "snapshot").is_dir()
    assert not (folder / "snapshot-next").exists()
