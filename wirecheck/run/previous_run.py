"""What earlier runs of the cluster found, and whether it has changed since."""

from __future__ import annotations

from pathlib import Path

from wirecheck.results import history
from wirecheck.results.records import Results
from wirecheck.run.request import Request

MOST_RUNS = 500
"""Runs that are searched for the first one that had a finding."""


def has_changed(results: Results, folder: Path, request: Request) -> bool:
    """Whether the cluster has changed since the previous run, according to the history.

    A part of the cluster is not compared with the whole; what fails in it is reported each time.
    """
    if request.selection:
        return results.ended.status != 0
    now = history.entry_of(results, folder)
    try:
        runs = history.read(request.history_file, now.cluster, 100)
    except OSError:
        return True
    before = [entry for entry in runs if entry.report != now.report]
    return history.has_changed(before[-1] if before else None, now)


def runs_of(results: Results, request: Request) -> list[history.HistoryEntry]:
    """The last runs of the cluster in the history; none if it cannot be read."""
    try:
        return history.read(request.history_file, history.cluster_of(results), MOST_RUNS)
    except OSError:
        return []
