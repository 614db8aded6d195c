"""The one driver above the stages: look or replay, judge, report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from wirecheck.catalogue.registry import Check, load
from wirecheck.collect.api.client import ApiError
from wirecheck.collect.api.errors import ApiStatusError
from wirecheck.evaluation.build import Evaluated, results_of
from wirecheck.evaluation.verdict import UNREACHABLE
from wirecheck.model.cluster import Cluster
from wirecheck.results.measures import NodeMeasures
from wirecheck.results.records import ItemResult, Override, Results
from wirecheck.run.baseline import Baseline, accepted_doubts, read_baseline
from wirecheck.run.live import LiveRun
from wirecheck.run.replay import Replay
from wirecheck.run.report_folder import ReportFolder, add_to_history
from wirecheck.run.request import Request
from wirecheck.run.round import Progress
from wirecheck.run.selection import in_profile, selected
from wirecheck.run.waiting import Clock, Waiting
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import ClusterIdentity
from wirecheck.text import duration, plural


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
    def first_round(self) -> Cluster:
        """The cluster in the look that visits every node."""
        ...

    @property
    def measured(self) -> Mapping[str, NodeMeasures]:
        """What was measured on each node that was judged."""
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


def perform(
    request: Request, globs: Sequence[str], progress: Progress, clock: Clock | None = None
) -> tuple[Results, Path]:
    """Look or replay, judge, report; returns the results and the folder with the reports.

    Raises what `request.SENTENCES` lists, and KeyboardInterrupt where nothing was seen yet. An
    exception that leaves something behind has a note that says where.
    """
    wall_clock = time.time()
    waiting = Waiting(request.wait, clock or Clock())
    checks = selected(in_profile(load(), request.profile), globs)
    baseline = read_baseline(request.baseline, lambda: checks) if request.baseline else None
    run = _opened(request, waiting, progress)
    round_ = _Round(request, checks, baseline, _doubts(request, run, baseline), progress, waiting)
    run.introduce(progress)
    folder = ReportFolder.create(
        request.report_dir, wall_clock, request.keep, spared=request.baseline
    )
    try:
        results = round_.perform(run, folder.snapshot)
        while waiting.goes_on:
            later = _later(round_, folder)
            if later is None:
                break
            results = later
        ended = replace(results.ended, wait=waiting.record)
        results = replace(results, ended=ended)
        final = folder.finish(results, request.history_file)
    except BaseException as error:
        if left := folder.abandon():
            error.add_note(f"What was seen until then is in {left}.")
        raise
    if problem := add_to_history(results, final, request):
        progress.say(problem)
    return results, final


@dataclass(frozen=True, slots=True)
class _Round:
    """What each round of one run has in common."""

    request: Request
    checks: Sequence[Check]
    baseline: Baseline | None
    doubts: Sequence[str]
    progress: Progress
    waiting: Waiting

    def perform(self, run: Run, folder: Path) -> Results:
        """Look at everything, or replay it, and judge."""
        run.begin(self.checks, folder, self.progress)
        judged = _judged(run)
        if self.baseline:
            judged.items, judged.comparison = self.baseline.settle(
                judged.items, self.checks, self.doubts
            )
        fail_on = self.request.fail_on
        results = results_of(run, self.checks, judged, self.waiting.passed, fail_on)
        if not judged.interrupted:
            unreachable = run.thresholds.get(UNREACHABLE, 0)
            self.waiting.saw(judged.items, fail_on, unreachable)
        return results


def _opened(request: Request, waiting: Waiting, progress: Progress) -> Run:
    """The cluster, as soon as its API answers: an upgrade may have taken it away for a while."""
    while True:
        try:
            return open_run(request)
        except ApiError as error:
            is_refused = isinstance(error, ApiStatusError) and error.status in (401, 403)
            if is_refused or not waiting.left:
                raise
            progress.say(f"{error} Trying again for {duration(waiting.left)}.")
            waiting.pause()


def _later(round_: _Round, folder: ReportFolder) -> Results | None:
    """The results of one more round; None if there is none, and the last one counts."""
    waiting, progress = round_.waiting, round_.progress
    try:
        progress.say(
            f"{plural(waiting.red, 'item')} red after {duration(waiting.passed)}: looking again, "
            f"for at most {duration(waiting.left)}."
        )
        waiting.pause()
        run = _opened(round_.request, waiting, progress)
        results = round_.perform(run, folder.next_snapshot)
    except (ApiError, KeyboardInterrupt) as error:
        why = str(error) or "interrupted."
        progress.say(f"It was not looked at again, so the last results count: {why}")
        folder.drop_next()
        return None
    if results.ended.interrupted:
        folder.drop_next()
        return None
    folder.take_next()
    return results


def _doubts(request: Request, run: Run, baseline: Baseline | None) -> list[str]:
    """Why the baseline is no good one, if it is taken all the same. Raises RequestError."""
    if baseline is None:
        return []
    doubts = baseline.doubts(run.identity, run.thresholds.get(UNREACHABLE, 0))
    return accepted_doubts(baseline, doubts, forced=request.force_baseline)


def _judged(run: Run) -> Evaluated:
    """Every item: node after node, then the cluster's; cut short, it is still a valid part."""
    judged = Evaluated(interrupted=run.interrupted)
    try:
        for name in run.node_names:
            judged.items.extend(run.node(name))
        judged.items.extend(run.cluster())
    except KeyboardInterrupt:
        judged.interrupted = True
    return judged
