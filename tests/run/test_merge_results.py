"""Results of runs over different nodes, put together without their snapshots."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run.test_merge_snapshots import part_of
from tests.served_cluster import Listener
from wirecheck.catalogue.findings import Outcome
from wirecheck.cli import main as cli
from wirecheck.cli.demo import recorded
from wirecheck.results.jsonl import read_results
from wirecheck.run.merge_results import merge_results, read_part
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request, RequestError
from wirecheck.snapshot.folder import Snapshot

BETWEEN_NODES = {"reachability.local_node_ports"}
"""What needs another node's mode of kube-proxy, which only the run that saw that node knows."""


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """The recorded broken cluster, as one run saw it, and as two that saw different nodes."""
    folder = tmp_path_factory.mktemp("parts")
    whole = Snapshot.open(recorded("broken"))
    snapshots = {
        "whole": whole,
        "a": part_of(whole, folder / "a", {"wc-w1"}),
        "b": part_of(whole, folder / "b", {"wc-cp", "wc-w2"}),
    }
    found = {}
    for name, snapshot in snapshots.items():
        request = Request(snapshot=snapshot.path, report_dir=folder / "reports")
        _, left = perform(request, (), Listener())
        found[name] = left / "results.jsonl"
    return found


def test_every_node_is_told_of_by_the_run_that_saw_it(files):
    whole = read_results(files["whole"])

    merged = merge_results([read_part(files[name]) for name in "ab"], "fail")

    def of_nodes(results):
        return {(i.check, i.node): i.outcome for i in results.items if i.node}

    found, expected = of_nodes(merged), of_nodes(whole)
    assert {key[0] for key in expected if found[key] is not expected[key]} <= BETWEEN_NODES
    assert {found[key] for key in expected if found[key] is not expected[key]} <= {Outcome.SKIP}
    assert merged.ended.status == whole.ended.status == 1
    assert merged.ended.coverage.nodes_seen == 3
    assert merged.ended.coverage.pods_seen == whole.ended.coverage.pods_seen
    assert merged.ended.coverage.skipped_nodes == {}
    assert any("were not compared" in note for note in merged.started.notes)


def test_a_check_of_the_cluster_ends_as_badly_as_in_any_of_them(files):
    parts = [read_part(files[name]) for name in "ab"]

    merged = merge_results(parts, "fail")

    order = (Outcome.FAIL, Outcome.ERROR)
    for item in merged.items:
        if not item.node:
            said = [i.outcome for p in parts for i in p.results.items if i.check == item.check]
            assert item.outcome == next((bad for bad in order if bad in said), item.outcome)


def test_two_that_saw_one_node_are_refused(files):
    with pytest.raises(RequestError, match="checked node wc-w1"):
        merge_results([read_part(files[name]) for name in ("whole", "a")], "fail")


def test_from_the_command_line(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as left:
        cli.main(["merge", str(files["a"]), str(files["b"]), "--report-dir", "out"])

    assert left.value.code == 1
    assert "Checked 3/3 nodes" in capsys.readouterr().out
    assert list(Path("out").glob("*/report.html"))


def test_what_needs_snapshots_is_refused(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as left:
        cli.main(["merge", str(files["a"]), str(files["b"]), "--into", "whole"])

    assert left.value.code == 4
    assert "--into needs a snapshot" in capsys.readouterr().err
