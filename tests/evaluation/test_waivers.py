"""Waivers, missing nodes that are accepted, and what they make of outcome, status and reports."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import pytest
from msgspec.structs import replace
from rich.console import Console

from tests.report import sample
from tests.served_cluster import Listener
from tests.snapshots import CHECKS, broken, healthy, written
from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.evaluation.verdict import exit_status, spared_nodes, verdict
from wirecheck.evaluation.waivers import covers, waiver_for, waiver_records
from wirecheck.report import html, junit, terminal
from wirecheck.results.ordering import tone
from wirecheck.results.outcomes import outcome_of
from wirecheck.results.records import FindingRecord, ItemResult, Object, Results
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request
from wirecheck.snapshot.index import SnapshotIndex, Waiver

PASSED, TODAY, TO_COME = "2027-01-14", "2027-01-15", "2027-12-31"


def waiver(check="pods.*", where="*", until=TO_COME, reason="a reason") -> Waiver:
    return Waiver(check, where, reason, "net team", until)


def run(tmp_path, *waivers: Waiver, name="seen") -> Results:
    snapshot = written(tmp_path / name, broken(), waivers=list(waivers))
    request = Request(snapshot=snapshot, report_dir=tmp_path / "reports")
    return perform(request, CHECKS, Listener())[0]


def of(level: Level, standing="") -> FindingRecord:
    return FindingRecord(Object("Pod", "p"), level, "this", "that", "key", standing=standing)


@pytest.mark.parametrize(
    ("findings", "error", "outcome"),
    [
        ([], False, Outcome.PASS),
        ([], True, Outcome.ERROR),
        ([of(Level.FAIL)], True, Outcome.FAIL),
        ([of(Level.FAIL, "waived")], False, Outcome.WAIVED),
        ([of(Level.FAIL, "waived"), of(Level.FAIL)], False, Outcome.FAIL),
        ([of(Level.FAIL, "waived"), of(Level.WARN)], False, Outcome.WARN),
        ([of(Level.FAIL, "waived")], True, Outcome.ERROR),
        ([of(Level.FAIL, "waived"), of(Level.FAIL, "known")], False, Outcome.KNOWN),
        ([of(Level.WARN, "known")], False, Outcome.KNOWN),
        ([of(Level.ERROR), of(Level.FAIL, "known")], False, Outcome.ERROR),
    ],
)
def test_accepted_findings_stand_back_behind_all_others(findings, error, outcome):
    assert outcome_of(findings, error=error, skip=False) is outcome


def test_a_waived_failure_is_neither_red_nor_passed(tmp_path):
    results = run(tmp_path, waiver())

    assert results.ended.status == 0
    assert results.ended.counts["waived"] == 1
    assert results.ended.verdict.endswith(", 7 checks not applicable, 1 check waived.")


@pytest.mark.parametrize(
    ("given", "state", "findings", "status"),
    [
        (waiver(until=TODAY), "used", 1, 0),
        (waiver(until=PASSED), "expired", 1, 1),
        (waiver(where="n9"), "unused", 0, 1),
        (waiver(check="pods.are_ready"), "not asked", 0, 1),
        (waiver(check="dns.*"), "not asked", 0, 1),
    ],
)
def test_what_became_of_a_waiver(tmp_path, given, state, findings, status):
    results = run(tmp_path, given)

    (record,) = results.ended.waivers
    assert (record.state, record.findings, results.ended.status) == (state, findings, status)


def test_the_second_waiver_of_the_same_finding_is_unused():
    index = SnapshotIndex(1, "0", 1_800_000_000.0, waivers=[waiver(), waiver(reason="again")])
    item = ItemResult("pods.x", Outcome.WAIVED, node="n1", findings=[of(Level.FAIL, "waived")])

    assert [each.state for each in waiver_records(index, [item])] == ["used", "unused"]


def screen(results: Results) -> str:
    file = io.StringIO()
    terminal.show(results, Console(file=file, width=200))
    return file.getvalue()


def test_expired_and_unused_waivers_are_shown_everywhere(tmp_path):
    reason = f"soon {sample.HOSTILE}"
    results = run(tmp_path, waiver(until=PASSED, reason=reason), waiver(where="n9"))

    for text in (screen(results), html.render(results), junit.render(results)):
        assert "pods.* at *: has expired and no longer covers 1 finding" in text
        assert "pods.* at n9: covers nothing" in text
        assert "<script>alert" not in text or text == screen(results)
        assert "\x1b" not in text


def visits(*missing: str, seen=("w1", "w2")) -> list[ItemResult]:
    said = [ItemResult("nodes.reachable", Outcome.PASS, node=node) for node in seen]
    for node in missing:
        said.append(ItemResult("nodes.reachable", Outcome.ERROR, node=node, reason="refused"))
        said.append(ItemResult("dns.a", Outcome.ERROR, node=node, reason="refused", folded=True))
    return said


@pytest.mark.parametrize(
    ("items", "allowed", "status"),
    [
        (visits("w8"), 0, 2),
        (visits("w8"), 1, 0),
        (visits("w8", "w9"), 1, 2),
        (visits("w8", "w9"), 2, 0),
        (visits("w8", "w9", seen=()), 2, 2),
        ([*visits("w8"), ItemResult("dns.a", Outcome.ERROR, node="w1")], 1, 2),
        ([*visits("w8"), ItemResult("dns.a", Outcome.FAIL, node="w1")], 1, 1),
        ([ItemResult("dns.a", Outcome.KNOWN, node="w1")], 0, 0),
        ([ItemResult("dns.a", Outcome.SKIP, node="w1")], 9, 5),
        ([], 9, 5),
    ],
)
def test_how_many_nodes_may_be_missing(items, allowed, status):
    assert exit_status(items, unreachable=allowed) == status


@pytest.mark.parametrize(
    ("fail_on", "outcome", "status"),
    [
        ("fail", Outcome.WARN, 0),
        ("warn", Outcome.WARN, 1),
        ("warn", Outcome.KNOWN, 0),
        ("warn", Outcome.WAIVED, 0),
        ("never", Outcome.FAIL, 0),
        ("never", Outcome.ERROR, 0),
        ("never", Outcome.SKIP, 5),
    ],
)
def test_what_fails_can_be_chosen(fail_on, outcome, status):
    assert exit_status([ItemResult("dns.a", outcome)], fail_on) == status


def test_missing_nodes_are_reported_although_they_are_accepted():
    items = visits("w8")

    assert verdict(items, unreachable=1) == "Healthy, 1 node not checked, which is accepted."
    assert verdict(items) == "2 checks could not be completed on 1 node."


def test_accepted_missing_nodes_are_skipped_in_junit():
    results = sample.healthy(3)
    items = [*results.items, *visits("w8")]
    ended = replace(results.ended, spared=spared_nodes(items, 1))
    results = replace(results, items=items, ended=ended)

    cases = list(ET.fromstring(junit.render(results).encode()).iter("testcase"))

    assert tone(results) is Outcome.PASS
    assert not [case.get("name") for case in cases if case.find("error") is not None]


def test_the_inventory_says_how_many_may_be_missing(tmp_path):
    file = tmp_path / "inventory.yaml"
    file.write_text("nodes: [{name: n1, access: 'docker://'}]\nthresholds: {unreachable: 2}\n")
    snapshot = written(tmp_path / "seen", healthy())

    request = Request(snapshot=snapshot, inventory=file, report_dir=tmp_path / "reports")
    results, _ = perform(request, CHECKS, Listener())

    assert [(each.name, each.now) for each in results.started.overrides] == [("unreachable", "2")]


def web(level: Level = Level.FAIL) -> FindingRecord:
    return FindingRecord(Object("Pod", "web-0", "shop", part="eth0"), level, "this", "that", "key")


@pytest.mark.parametrize(
    ("check", "where", "covered"),
    [
        ("pods.x", "n1", True),
        ("pods.x", "n2", False),
        ("pods.x", "shop/web-*", True),
        ("pods.x", "Pod shop/web-0 eth0", True),
        ("pods.x", "web-0", False),
        ("pods.y", "n1", False),
    ],
)
def test_a_waiver_covers_a_finding_by_its_node_or_its_object(check, where, covered):
    assert covers(waiver(check, where), "pods.x", "n1", web()) is covered


def test_what_could_not_be_read_is_never_waived():
    assert not covers(waiver(), "pods.x", "n1", web(Level.ERROR))
    assert covers(waiver(), "pods.x", "n1", web(Level.WARN))


def test_an_expired_waiver_counts_what_it_would_cover_whatever_others_do():
    index = SnapshotIndex(
        1, "0", 1_800_000_000.0, waivers=[waiver(until=PASSED), waiver(where="n2"), waiver()]
    )
    item = ItemResult("pods.x", Outcome.WAIVED, node="n1", findings=[web(), web(Level.ERROR)])

    records = waiver_records(index, [item, ItemResult("dns.x", Outcome.PASS, node="n1")])

    assert [(each.state, each.findings) for each in records] == [
        ("expired", 1),
        ("unused", 0),
        ("used", 1),
    ]
    assert waiver_for("pods.x", "n1", web(), index) is index.waivers[2]
    assert waiver_for("pods.x", "n1", web(Level.ERROR), index) is None
