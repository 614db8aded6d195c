"""The one driver above the stages: look or replay, judge, report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from wirecheck.baseline import Baseline, accepted_doubts, read_baseline
from wirecheck.catalogue import Check, load
from wirecheck.live import LiveRun
from wirecheck.look import Progress
from wirecheck.record import Judged, results_of
from wirecheck.replay import Replay
from wirecheck.report_folder import ReportFolder
from wirecheck.request import Request
from wirecheck.results import ItemResult, Override, Results
from wirecheck.selection import selected
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import ClusterIdentity
from wirecheck.verdict import UNREACHABLE


class Run(Protocol):
    """A cluster that can be judged: a live one, or a snapshot."""

    @property
    def source(self) -> str:
        """`live`, or the snapshot's folder."""
        ...

    @property
    def node_names(self) -> Sequence[str]:
        """Every node that the API lists, sorted."""
        ...

    @property
    def snapshot(self) -> Snapshot:
        """What was seen; for a live cluster only after `begin`."""
        ...

    @property
    def overrides(self) -> Sequence[Override]:
        """What is judged otherwise than the snapshot says."""
        ...

    @property
    def identity(self) -> ClusterIdentity:
        """Which cluster it is."""
        ...

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Those that differ from the defaults."""
        ...

    @property
    def interrupted(self) -> bool:
        """Whether the looking was ended early."""
        ...

    def introduce(self, progress: Progress) -> None:
        """Say what will be looked at, before anything is."""
        ...

    def begin(self, checks: Sequence[Check], folder: Path, progress: Progress) -> None:
        """Look, where there is something to look at, keeping it in `folder`."""
        ...

    def node(self, name: str) -> Iterable[ItemResult]:
        """How each check about nodes ends on this one."""
        ...

    def cluster(self) -> Iterable[ItemResult]:
        """How each check about the cluster ends."""
        ...


def open_run(request: Request) -> Run:
    """The snapshot that was named or, without one, the live cluster."""
    return Replay.open(request) if request.snapshot else LiveRun.open(request)


def perform(request: Request, globs: Sequence[str], progress: Progress) -> tuple[Results, Path]:
    """Look or replay, judge, report; returns the results and the folder with the reports.

    Raises what `request.SENTENCES` lists, and KeyboardInterrupt where nothing was seen yet. An
    exception that leaves something behind has a note that says where.
    """
    began, wall_clock = time.monotonic(), time.time()
    checks = selected(load(), globs)
    baseline = read_baseline(request.baseline) if request.baseline else None
    run = open_run(request)
    doubts = _doubts(request, run, baseline)
    run.introduce(progress)
    folder = ReportFolder.create(request.report_dir, wall_clock)
    try:
        run.begin(checks, folder.snapshot, progress)
        judged = _judged(run)
        if baseline:
            judged.items, judged.comparison = baseline.settle(judged.items, checks, doubts)
        seconds = time.monotonic() - began
        results = results_of(run, checks, judged, seconds, request.fail_on)
        return results, folder.finish(results)
    except BaseException as error:
        if left := folder.abandon():
            error.add_note(f"What was seen until then is in {left}.")
        raise


def _doubts(request: Request, run: Run, baseline: Baseline | None) -> list[str]:
    """Why the baseline is no good one, if it is taken all the same. Raises RequestError."""
    if baseline is None:
        return []
    doubts = baseline.doubts(run.identity, run.thresholds.get(UNREACHABLE, 0))
    return accepted_doubts(baseline, doubts, forced=request.force_baseline)


def _judged(run: Run) -> Judged:
    """Every item: node after node, then the cluster's; cut short, it is still a valid part."""
    judged = Judged(interrupted=run.interrupted)
    try:
        for name in run.node_names:
            judged.items.extend(run.node(name))
        judged.items.extend(run.cluster())
    except KeyboardInterrupt:
        judged.interrupted = True
    return judged
