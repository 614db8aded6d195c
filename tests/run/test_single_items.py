"""Under pytest single items can be chosen: their verdict is not that of the cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.served_cluster import Listener
from tests.verdicts import CLUSTERS
from wirecheck.catalogue.registry import load
from wirecheck.results.history import entry_of
from wirecheck.results.records import Results
from wirecheck.run.reported_run import ReportedRun
from wirecheck.run.request import Request
from wirecheck.run.selection import in_profile

READY, REACHABLE, SPREAD = "nodes.ready", "nodes.reachable", "coredns.replicas_spread"
NODES = ("wc-cp", "wc-w1", "wc-w2")


def results_of_items(folder: Path, *items: tuple[str, str]) -> Results:
    request = Request(snapshot=CLUSTERS["healthy"], report_dir=folder)
    run = ReportedRun(request, Listener(), has_folder=False)
    checks = [check for check in load() if check.id in {name for name, _ in items}]
    run.select(checks, frozenset(items))
    run.open()
    run.observe()
    found = [run.item(*item) for item in items]
    return run.finish([item for item in found if item])


@pytest.mark.parametrize(
    ("items", "part"),
    [
        ([(READY, "wc-w1")], "1 of 3 nodes, "),
        ([(READY, "wc-w1"), (REACHABLE, "wc-w2")], "2 of 3 nodes, "),
        ([(READY, node) for node in NODES], ""),
        ([(SPREAD, "")], ""),
        ([(SPREAD, ""), (READY, "wc-w1")], "1 of 3 nodes, "),
    ],
)
def test_the_verdict_says_which_part_it_is(tmp_path, items, part):
    results = results_of_items(tmp_path, *items)

    checks = len({name for name, _ in items})
    assert (
        results.ended.verdict
        == f"{part}{checks} of {len(in_profile(load(), None))} checks run: passed."
    )
    assert entry_of(results, tmp_path).partial is bool(part)
