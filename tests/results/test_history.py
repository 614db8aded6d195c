"""The history file, what the page and the terminal make of it, and what is measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import SmallCluster
from tests.report import sample
from tests.served_cluster import Listener
from tests.snapshots import CHECKS, broken, healthy, risky, written
from wirecheck.cli import main as cli
from wirecheck.report import html
from wirecheck.report.trend import MOST_RUNS, trends
from wirecheck.results import history
from wirecheck.results.history import HistoryEntry
from wirecheck.results.measures import (
    CONNTRACK_USE,
    DNS_LOST,
    DNS_MEDIAN,
    DNS_SLOW,
    measured_on,
    of_all,
)
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request, RequestError
from wirecheck.snapshot.attempts import Probe, Try


def entry(number: int = 1, cluster: str = "c", **more) -> HistoryEntry:
    return HistoryEntry(f"2026-11-{number:02}T00:00:00Z", cluster, 0, "Healthy.", **more)


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "reports/history.jsonl"


def test_a_line_for_each_run_oldest_first(file):
    for number in (1, 2, 3):
        history.append(file, entry(number))

    assert history.read(file, "c", 2) == [entry(2), entry(3)]
    assert len(file.read_text().splitlines()) == 3


def test_clusters_are_kept_apart(file):
    for cluster in ("a", "b", "a"):
        history.append(file, entry(cluster=cluster))

    assert len(history.read(file, "a", 9)) == 2
    assert history.read(file, "c", 9) == []


def test_damaged_lines_are_passed_over_and_a_torn_one_is_ended(file):
    history.append(file, entry(1))
    with file.open("ab") as stream:
        stream.write(b'\xff\n{"time": 3}\n{"time":"2026-1')
    history.append(file, entry(2))

    assert history.read(file, "c", 9) == [entry(1), entry(2)]


def test_no_file_is_no_history(file):
    assert history.read(file, "c", 9) == []


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        (None, entry(), False),
        (None, replace(entry(), status=1, failing="x"), True),
        (entry(1), entry(2), False),
        (entry(1), replace(entry(2), status=1, failing="x"), True),
        (replace(entry(1), status=1, failing="x"), replace(entry(2), status=1, failing="x"), False),
        (replace(entry(1), status=1, failing="x"), replace(entry(2), status=1, failing="y"), True),
        (replace(entry(1), status=1, failing="x"), entry(2), True),
    ],
)
def test_what_is_news(before, now, changed):
    assert history.has_changed(before, now) is changed


def test_the_entry_of_a_run():
    found = history.entry_of(sample.broken(), Path("reports/x"))

    assert found.checks["pods.carries_its_addresses"] == "fail"
    assert found.checks["links.no_orphans"] == "warn"
    assert (found.status, found.cluster) == (1, sample.broken().started.cluster.uid)
    assert found.failing == history.entry_of(sample.broken(), Path("elsewhere")).failing != ""
    assert history.entry_of(sample.healthy(2), Path("x")).failing == ""


def run(tmp_path: Path, snapshot: Path, **more) -> Path:
    request = Request(snapshot=snapshot, report_dir=tmp_path / "reports", **more)
    return perform(request, CHECKS, Listener())[1]


def test_a_replay_leaves_no_line_unless_it_was_asked_to(tmp_path, file):
    snapshot = written(tmp_path / "seen", healthy())

    run(tmp_path, snapshot)
    assert not file.exists()

    run(tmp_path, snapshot, history=file)
    assert len(history.read(file, "uid-1", 9)) == 1


def test_the_page_shows_the_trend_from_the_second_run_on(tmp_path, file):
    pages = []
    for name, cluster in (("a", healthy()), ("b", broken()), ("c", risky())):
        folder = run(tmp_path, written(tmp_path / name, cluster), history=file)
        pages.append((folder / "report.html").read_text())

    assert "Over the last runs" not in pages[0]
    assert "pods.ip_on_interface: not healthy in 1 of 2 runs, now failed" in pages[1]
    assert "pods.ip_on_interface: not healthy in 1 of 3 runs, now passed" in pages[2]
    assert "conntrack table in use, on the fullest node" in pages[2]
    assert "<polyline" in pages[2]


def test_the_terminal_shows_the_same(tmp_path, file, capsys):
    for name, cluster in (("a", healthy()), ("b", broken()), ("c", healthy())):
        run(tmp_path, written(tmp_path / name, cluster), history=file)

    with pytest.raises(SystemExit) as left:
        cli.main(["trend", str(file)])

    out = capsys.readouterr().out
    assert left.value.code == 0
    assert out.startswith("3 runs, 2027-01-15 08:00 UTC to 2027-01-15 08:00 UTC\n")
    assert "·✕·  not healthy in 1 of 3 runs, now passed" in out
    assert "010" in out


def test_a_script_reads_the_lines_of_the_last_runs(tmp_path, file, capsys):
    for name, cluster in (("a", healthy()), ("b", broken()), ("c", healthy())):
        run(tmp_path, written(tmp_path / name, cluster), history=file)

    with pytest.raises(SystemExit) as left:
        cli.main(["trend", str(file), "--runs", "2", "-o", "json"])

    found = json.loads(capsys.readouterr().out)
    assert left.value.code == 0
    assert [each["status"] for each in found] == [1, 0]


def test_without_a_history_the_terminal_says_how_there_will_be_one(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(["trend", str(tmp_path / "none")])

    assert left.value.code == 5
    assert "lists no run" in capsys.readouterr().err


def test_hostile_lines_are_harmless(file, capsys):
    bad = {sample.HOSTILE: "fail", "dns.a": sample.HOSTILE}
    one = HistoryEntry(f"20{sample.HOSTILE}", "c", 1, sample.HOSTILE, checks=bad)
    history.append(file, one)
    history.append(file, one)

    with pytest.raises(SystemExit):
        cli.main(["trend", str(file)])
    page = html.render(sample.healthy(2), trends(history.read(file, "c", 9)))

    said = capsys.readouterr().out
    assert "\x1b" not in said + page
    assert "<script>alert" not in page


def test_gaps_in_a_measure_are_gaps_in_its_line():
    values = [1.0, 2.0, None, 4.0, None, 3.0, 3.0]
    runs = [
        entry(number + 1, measured={} if value is None else {CONNTRACK_USE: value})
        for number, value in enumerate(values)
    ]

    (line,) = trends(runs).measures
    assert len(line.pieces) == 3
    assert all(len(piece.split()) >= 2 for piece in line.pieces)
    assert (line.last, line.range) == ("3 %", "1 % to 4 %")


def test_only_the_last_runs_are_shown():
    assert len(trends([entry()] * 500).times) == MOST_RUNS


def with_tries(*tries: Try) -> SmallCluster:
    small = SmallCluster()
    probe = Probe(1, "q", "10.96.0.10", 53, "udp", list(tries))
    small.document = replace(small.document, probes=[probe])
    small.change_file("/proc/sys/net/netfilter/nf_conntrack_count", "250")
    small.change_file("/proc/sys/net/netfilter/nf_conntrack_max", "1000")
    return small


def test_measures_of_nodes_and_of_all():
    some = [Try(0.001, "eA=="), Try(0.003, "eA=="), Try(0.009, "eA=="), Try(2.0, error="timeout")]
    first = measured_on(with_tries(*some).document)
    second = measured_on(with_tries().document)

    assert (first.conntrack_use, first.dns_median, first.dns_slow) == (25.0, 0.003, 0.009)
    assert (second.dns_median, second.dns_slow, second.lost) == (None, None, 0)
    assert of_all([first, second]) == {
        CONNTRACK_USE: 25.0,
        DNS_MEDIAN: 0.003,
        DNS_SLOW: 0.009,
        DNS_LOST: 25.0,
    }
    assert of_all([]) == {}


def test_a_history_that_cannot_be_written_is_refused(tmp_path):
    snapshot = written(tmp_path / "seen", healthy())
    (tmp_path / "file").write_text("")

    for name in ("file/history.jsonl", "missing/history.jsonl", "seen"):
        request = Request(snapshot=snapshot, report_dir=tmp_path / "r", history=tmp_path / name)
        with pytest.raises(RequestError, match=r"cannot be written to .*--history"):
            perform(request, CHECKS, Listener())
    assert not (tmp_path / "r").exists()


def test_a_history_that_fails_in_the_end_is_said_and_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("wirecheck.run.reported_run.refuse_unwritable_places", lambda *_, **__: 0)
    snapshot = written(tmp_path / "seen", healthy())
    (tmp_path / "file").write_text("")
    listener = Listener()
    request = Request(
        snapshot=snapshot, report_dir=tmp_path / "reports", history=tmp_path / "file/history.jsonl"
    )

    _, folder = perform(request, CHECKS, listener)

    assert (folder / "report.html").is_file()
    assert "cannot be written to" in listener.text
