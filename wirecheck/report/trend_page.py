"""`wirecheck trend -o html`: the last runs of a cluster as a page of its own."""

from __future__ import annotations

from collections.abc import Sequence

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.page_templates import rendered
from wirecheck.report.trend import trends
from wirecheck.results.history import HistoryEntry

MOST_RUNS = 1000
"""Runs in the table below the charts."""


def render(runs: Sequence[HistoryEntry]) -> str:
    """The page. `runs` has the oldest first, and at least one."""
    return rendered(
        "trend_page.html.j2",
        tone=_tone(runs[-1]),
        last=runs[-1],
        runs=runs[-MOST_RUNS:],
        trends=trends(runs),
    )


def _tone(run: HistoryEntry) -> Outcome:
    """The colour of the run's verdict."""
    if run.status == 1:
        return Outcome.FAIL
    if run.status:
        return Outcome.ERROR
    mild = (each for each in (Outcome.FLAKY, Outcome.WARN) if run.counts.get(each))
    return next(mild, Outcome.PASS)
