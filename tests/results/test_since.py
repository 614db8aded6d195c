"""Since when a finding exists: by a fact, otherwise by the first run that had it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.report import sample
from tests.report.test_counts import screen
from tests.served_cluster import Listener
from tests.snapshots import broken, written
from wirecheck.catalogue.findings import Finding, Outcome, Ref, Since
from wirecheck.evaluation.items import since_record
from wirecheck.node.kernel_log import log_events
from wirecheck.report import html, junit, markdown
from wirecheck.results.history import HistoryEntry, append, entry_of, finding_digest
from wirecheck.results.records import ItemResult, Results, SinceRecord
from wirecheck.results.since import FIRST_RUN, OLDEST_RUN, THIS_RUN, with_since
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request
from wirecheck.snapshot.node_document import KernelLine

CHECK, NODE = "pods.carries_its_addresses", "w2"
FINDING = sample.finding("Pod", "shop/web", "10.0.0.1 on eth0", "nothing")
DIGEST = finding_digest(FINDING.key)
NOW = "2026-11-23T03:06:41Z"


def now() -> Results:
    run = sample.broken()
    return replace(run, items=[ItemResult(CHECK, Outcome.FAIL, NODE, findings=[FINDING])])


def run_of(day: int, *digests: str, outcome: str = "fail", **more: object) -> HistoryEntry:
    fields = {"checks": {CHECK: outcome} if outcome else {}, "found": list(digests)} | more
    return HistoryEntry(f"2026-11-{day:02}T00:00:00Z", "uid", 1, "", **fields)


def since(*history: HistoryEntry) -> SinceRecord | None:
    (item,) = with_since(now(), history).items
    return item.findings[0].since


WITH, WITHOUT = (DIGEST,), ("another",)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], None),
        ([run_of(1, *WITHOUT), run_of(2, *WITH), run_of(3, *WITH)], (2, FIRST_RUN)),
        ([run_of(1, *WITH), run_of(2, *WITHOUT, outcome="pass"), run_of(3, *WITH)], (3, FIRST_RUN)),
        ([run_of(1, *WITH), run_of(2, *WITH)], (1, OLDEST_RUN)),
        ([run_of(1, *WITHOUT, outcome="pass")], (0, THIS_RUN)),
        # A run that could not have found it neither begins nor ends it.
        ([run_of(1, *WITH), run_of(2, outcome=""), run_of(3, *WITH)], (1, OLDEST_RUN)),
        ([run_of(1, *WITH), run_of(2, outcome="error"), run_of(3, *WITH)], (1, OLDEST_RUN)),
        ([run_of(1, *WITH), run_of(2, outcome="skip")], (1, OLDEST_RUN)),
        ([run_of(1, *WITH), run_of(2, missed=[NODE])], (1, OLDEST_RUN)),
        ([run_of(1, *WITH), run_of(2, missed=["w9"])], (0, THIS_RUN)),
        ([run_of(1, *WITH), run_of(2, partial=True)], (1, OLDEST_RUN)),
        ([run_of(2, *WITH, partial=True)], (2, OLDEST_RUN)),
        # Nothing is known about runs of earlier versions, nor about those before them.
        ([run_of(1, found=None)], None),
        ([run_of(1, *WITH), run_of(2, found=None), run_of(3, *WITH)], (3, OLDEST_RUN)),
        # A replay of an older snapshot does not look into the future.
        ([run_of(25, *WITH)], None),
        ([run_of(1, *WITHOUT), run_of(2, *WITH), run_of(25, *WITHOUT)], (2, FIRST_RUN)),
    ],
)
def test_the_first_run_that_had_it(history, expected):
    found = since(*history)
    if expected is None:
        assert found is None
        return
    day, by = expected
    assert found == SinceRecord(f"2026-11-{day:02}T00:00:00Z" if day else NOW, by)


def test_what_a_fact_shows_stays():
    fact = SinceRecord("2026-11-01T00:00:00Z", "kube-proxy's last sync")
    run = now()
    items = [replace(run.items[0], findings=[replace(FINDING, since=fact)])]

    (item,) = with_since(replace(run, items=items), [run_of(2, *WITH)]).items

    assert item.findings[0].since == fact


def test_a_line_of_the_history_has_all_findings_or_says_so():
    run = sample.broken()
    entry = entry_of(run, Path("r"))
    assert entry.found == sorted(
        {finding_digest(f.key) for item in run.items for f in item.findings}
    )
    assert entry.missed == ["w12", "w7", "w9"]
    part = replace(run, started=replace(run.started, selected_nodes=["w2"]))
    assert (entry.partial, entry_of(part, Path("r")).partial) == (False, True)


def test_a_line_that_would_be_too_long_names_no_finding(monkeypatch):
    monkeypatch.setattr("wirecheck.results.history.MOST_FOUND", 5)
    entry = entry_of(sample.broken(), Path("r"))
    assert (entry.found, entry.missed) == (None, [])


def test_a_run_reads_its_history(tmp_path):
    history = tmp_path / "history.jsonl"
    request = Request(
        snapshot=written(tmp_path / "ill", broken()),
        report_dir=tmp_path / "reports",
        history=history,
    )
    first, folder = perform(request, ["pods.ip_on_interface"], Listener())
    (finding,) = [f for item in first.items for f in item.findings]
    assert finding.since is None
    entry = entry_of(first, folder)
    history.unlink()
    well = replace(entry, time="2026-01-01T00:00:00Z", found=[])
    for each in (well, replace(entry, time="2026-01-02T00:00:00Z")):
        append(history, each)

    again, _ = perform(request, ["pods.ip_on_interface"], Listener())

    (finding,) = [f for item in again.items for f in item.findings]
    assert finding.since == SinceRecord("2026-01-02T00:00:00Z", FIRST_RUN)


def test_a_history_that_cannot_be_read_costs_nothing(tmp_path):
    (tmp_path / "history.jsonl").mkdir()
    request = Request(
        snapshot=written(tmp_path / "ill", broken()), report_dir=tmp_path, history=None
    )
    results, _ = perform(request, ["pods.ip_on_interface"], Listener())
    assert results.ended.status == 1


def test_the_kernel_log_shows_it():
    lines = [KernelLine(time=t, text="nf_conntrack: table full", pattern="x") for t in (7.0, 5.0)]

    (event,) = log_events(lines, 60.0)

    assert event.since == Since(5.0, "the first such line in the kernel log")


@pytest.mark.parametrize(
    ("at", "record"),
    [
        (1_800_000_000.0, "2027-01-15T08:00:00Z"),
        (float("nan"), None),
        (1e300, None),
        (-1e300, None),
    ],
)
def test_a_damaged_time_of_a_node_is_left_out(at, record):
    finding = Finding(Ref("Node", "n1"), expected="a", found="b", since=Since(at, "a fact"))
    found = since_record(finding)
    assert (found.time if found else None) == record


def test_every_format_for_people_says_it():
    run = now()
    fact = SinceRecord("2026-11-01T00:00:00Z", "kube-proxy's last sync")
    items = [replace(run.items[0], findings=[replace(FINDING, since=fact)])]
    run = replace(run, items=items)

    for text in (screen(run), junit.render(run), markdown.render(run)):
        assert "since 2026-11-01 00:00 UTC (kube-proxy's last sync)" in text
    assert "since 2026-11-01 00:00 UTC (kube-proxy&#39;s last sync)" in html.render(run)
    assert "since 20" not in screen(now())
