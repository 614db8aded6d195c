"""Whole runs against an earlier one, and baselines that cannot tell what is new."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.report import sample
from tests.served_cluster import Listener
from tests.snapshots import CHECKS, broken, healthy, unreachable, written
from wirecheck.cli import main as cli
from wirecheck.report import html, junit
from wirecheck.results.jsonl import read_results
from wirecheck.results.records import Results
from wirecheck.run.baseline import Baseline, read_baseline
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request, RequestError
from wirecheck.snapshot.index import ClusterIdentity


@pytest.fixture
def run(tmp_path):
    def run(snapshot: Path, **options) -> tuple[Results, Path]:
        request = Request(snapshot=snapshot, report_dir=tmp_path / "reports", **options)
        return perform(request, CHECKS, Listener())

    return run


@pytest.fixture
def ill(tmp_path) -> Path:
    return written(tmp_path / "ill", broken())


@pytest.fixture
def well(tmp_path) -> Path:
    return written(tmp_path / "well", healthy())


def test_only_what_is_new_fails(run, ill, well):
    results, _ = run(ill, baseline=well)

    assert results.ended.status == 1
    assert results.comparison is not None
    assert (results.comparison.new, results.comparison.known) == (1, 0)


def test_a_run_its_folders_and_its_snapshot_are_baselines(run, ill, well):
    run(well)
    _, folder = run(ill)

    named = (folder / "results.jsonl", folder, folder.parent, ill, ill / "snapshot.json")
    for baseline in named:
        results, _ = run(ill, baseline=baseline)
        assert results.ended.status == 0
        known = "checks run: nothing new, 1 check known from the baseline."
        assert results.ended.verdict.endswith(known)
        assert results.ended.counts["known"] == 1


def test_the_record_keeps_the_comparison(run, ill, well):
    results, folder = run(well, baseline=ill)

    read = read_results(folder / "results.jsonl")
    assert read == results
    assert [past.check for past in read.comparison.fixed] == ["pods.ip_on_interface"]


def test_known_twice_is_known_still(run, ill):
    _, first = run(ill, baseline=ill)

    assert run(ill, baseline=first)[0].ended.status == 0


def test_every_report_tells_new_known_and_fixed(run, ill, well, capsys):
    for snapshot, baseline, words in (
        (ill, well, "1 new, 0 still there, 0 fixed"),
        (ill, ill, "0 new, 1 still there, 0 fixed"),
        (well, ill, "0 new, 0 still there, 1 fixed"),
    ):
        _, folder = run(snapshot, baseline=baseline)
        assert words in (folder / "report.html").read_text()
        assert words in (folder / "junit.xml").read_text()


def test_a_baseline_that_could_not_look_is_refused_unless_forced(run, tmp_path, ill):
    blind = written(tmp_path / "blind", unreachable())

    with pytest.raises(RequestError, match="cannot serve as a baseline: It checked nothing"):
        run(ill, baseline=blind)

    results, _ = run(ill, baseline=blind, force_baseline=True)
    assert results.ended.status == 1
    assert "checked nothing" in results.comparison.doubts[0]


HERE = ClusterIdentity("here", "0c5f7f0e-9f3f-4f3a-8d5e-1f2d8a3b4c5d")


def doubts(results: Results, unreachable: float = 0, cluster=HERE) -> list[str]:
    return Baseline(results, "before").doubts(cluster, unreachable)


def test_a_few_missing_nodes_may_be_accepted():
    assert doubts(sample.broken()) == ["It could not check w7, w9."]
    assert doubts(sample.broken(), unreachable=2) == []


def test_an_interrupted_run_and_another_cluster_are_doubtful():
    ended = replace(sample.healthy(3).ended, interrupted=True)
    (cut,) = doubts(replace(sample.healthy(3), ended=ended))
    (other,) = doubts(sample.healthy(3), cluster=ClusterIdentity("there", "another"))

    assert "interrupted" in cut
    assert "another cluster (prod-eu-1" in other


def test_what_is_no_run_is_refused_with_a_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    file = tmp_path / "notes.txt"
    file.write_text("hello\n")

    with pytest.raises(RequestError, match="is not an earlier run"):
        read_baseline(tmp_path / "empty")
    with pytest.raises(RequestError, match="is not an earlier run"):
        read_baseline(tmp_path / "missing")
    with pytest.raises(RequestError, match="line 1"):
        read_baseline(file)


def test_hostile_names_of_fixed_findings_are_harmless(tmp_path):
    items, comparison = Baseline(sample.broken(), f"b{sample.HOSTILE}").settle(
        sample.healthy(12).items, [Stub(check.id) for check in sample.records()]
    )
    results = replace(sample.healthy(12), items=items, comparison=comparison)
    assert any(sample.HOSTILE in str(past.finding.object) for past in comparison.fixed)

    page, cases = html.render(results), junit.render(results)
    assert "<script>alert" not in page
    assert "\x1b" not in page + cases


class Stub:
    def __init__(self, identity: str) -> None:
        self.id = identity


def test_diff_tells_two_runs_apart(run, ill, well, capsys):
    ill, well = run(ill)[1], run(well)[1]
    for before, now, status, words in (
        (well, ill, 1, "New\n  fail pods.ip_on_interface on n1: Pod"),
        (ill, well, 0, "Fixed\n  pods.ip_on_interface on n1: Pod"),
        (ill, ill, 0, "Still there\n  fail pods.ip_on_interface on n1: Pod"),
    ):
        with pytest.raises(SystemExit) as left:
            cli.main(["diff", str(before), str(now)])
        assert left.value.code == status
        assert words in capsys.readouterr().out


def test_diff_as_json(run, ill, well, capsys):
    ill, well = run(ill)[1], run(well)[1]
    with pytest.raises(SystemExit):
        cli.main(["diff", "-o", "json", str(well), str(ill)])
    told = json.loads(capsys.readouterr().out)

    assert "pods.ip_on_interface" in {each["check"] for each in told["new"]}
    assert told["known"] == told["fixed"] == []


def test_pytest_fails_only_for_what_is_new(ill, well, tmp_path):
    def status(baseline: Path) -> int:
        words = ["--snapshot", str(ill), "--baseline", str(baseline), "-k", "ip_on_interface"]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
        return subprocess.run(command, cwd=tmp_path, timeout=120, check=False).returncode

    assert (status(well), status(ill)) == (1, 0)
