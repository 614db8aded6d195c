"""A session whose results are reported: by `wirecheck run`, and by pytest.

It adds what decides the result besides the checks (baseline, waiting), and where the results go
(report folder, history, further outputs).
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from wirecheck.catalogue.registry import UNREACHABLE, Check, load
from wirecheck.collect.api.client import ApiError
from wirecheck.collect.api.errors import ApiStatusError, ConfigurationError
from wirecheck.report.delivery import Output, deliver, deliver_failure
from wirecheck.results.records import Comparison, ItemResult, Results
from wirecheck.results.since import with_since
from wirecheck.run.baseline import Baseline, accepted_doubts, read_baseline
from wirecheck.run.previous_run import has_changed, runs_of
from wirecheck.run.progress import RunProgress, warner
from wirecheck.run.report_folder import (
    SNAPSHOT,
    ReportFolder,
    UnwrittenError,
    add_to_history,
    refuse_unwritable_places,
)
from wirecheck.run.request import SENTENCES, Request
from wirecheck.run.selection import in_profile, prerequisites, selected
from wirecheck.run.session import Session
from wirecheck.run.sonobuoy_progress import SonobuoyProgress, sidecar_of
from wirecheck.run.waiting import Clock, Waiting
from wirecheck.text import duration, plural

ItemName = tuple[str, str]
"""A check's id, and the node or an empty name for the cluster."""


@dataclass(frozen=True, slots=True)
class _Compared:
    """All items of a session, as the baseline leaves them."""

    items: Mapping[ItemName, ItemResult]
    comparison: Comparison | None


class ReportedRun:
    """One run. Call `select` and `open`, then `observe`, `finish` and `deliver`."""

    def __init__(
        self,
        request: Request,
        progress: RunProgress,
        outputs: Sequence[Output] = (),
        *,
        has_folder: bool = True,
        clock: Clock | None = None,
    ) -> None:
        """`has_folder` is whether the run leaves a report folder. Raises RequestError."""
        request.refuse_contradictions()
        refuse_unwritable_places(request, outputs, has_folder=has_folder)
        self.request = request
        self.results: Results | None = None
        self.folder: Path | None = None
        """Where the reports were written to."""
        self._outputs = outputs
        self._sidecar: SonobuoyProgress | None = sidecar_of(outputs, progress)
        self.progress: RunProgress = self._sidecar or progress
        self._has_folder = has_folder
        self._wall_clock = time.time()
        self._waiting = Waiting(request.wait, clock or Clock())
        self._checks: tuple[Check, ...] = ()
        self._chosen: Collection[ItemName] | None = None
        self._prerequisites: Collection[str] = ()
        self._baseline: Baseline | None = None
        self._session: Session | None = None
        self._known_nodes: frozenset[str] = frozenset()
        """The nodes at the time of `open`, which items are chosen from."""
        self._compared: _Compared | None = None
        self._folder: ReportFolder | None = None

    def select(
        self,
        checks: Sequence[Check],
        items: Collection[ItemName] | None = None,
        prerequisites: Collection[str] = (),
    ) -> None:
        """Choose the checks, or only some of their items, and read the baseline for them.

        `prerequisites` are the ids of those that nobody selected. Raises RequestError or
        SnapshotError for a baseline that cannot be read.
        """
        self._checks, self._chosen = tuple(checks), items
        self._prerequisites = prerequisites
        if self.request.baseline:
            self._baseline = read_baseline(self.request.baseline, self._checks)

    def open(self) -> None:
        """Open the snapshot or the cluster. Raises what `request.SENTENCES` lists."""
        self._session = self._opened()
        self._known_nodes = frozenset(self._session.source.node_names)

    @property
    def session(self) -> Session:
        """The session that observes and evaluates."""
        assert self._session is not None, "open() comes first"
        return self._session

    def observe(self) -> None:
        """Take the rounds; with `wait`, again until the cluster is healthy or the time is up.

        Raises what `request.SENTENCES` lists, and KeyboardInterrupt where nothing was seen yet.
        An exception that leaves something behind has a note that says where.
        """
        source = self.session.source
        doubts = self._doubts()
        source.introduce(self.progress)
        if self._has_folder:
            self._folder = ReportFolder.create(
                self.request.report_dir,
                self._wall_clock,
                self.request.keep,
                spared=self.request.baseline,
                mode=self.request.report_mode,
            )
        try:
            folder = self._folder.snapshot if self._folder else Path()
            self._compared = self._observed(self.session, folder, doubts)
            while self._waiting.goes_on and self._observe_again(doubts):
                pass
        except BaseException as error:
            self._abandon(error)
            raise

    def item(self, check: str, node: str) -> ItemResult | None:
        """How the check ends on the node, or with an empty name on the cluster.

        None where there is no such item: the user interrupted, or the node was deleted.
        """
        if self._compared:
            return self._compared.items.get((check, node))
        return next((each for each in self.session.items(node) if each.check == check), None)

    @property
    def added(self) -> list[ItemResult]:
        """Items of nodes that were added while the run waited: they could not be selected."""
        if self._compared is None:
            return []
        return [each for each in self._compared.items.values() if self._is_added(each)]

    def finish(
        self, items: list[ItemResult] | None = None, *, interrupted: bool = False
    ) -> Results:
        """Make the results of `items`, or of all, and write the report folder and the history.

        Raises UnwrittenError where the folder cannot be written; there are `results` then.
        """
        try:
            self.results = self._finished(items, interrupted=interrupted)
            if self._folder:
                self.folder = self._folder.finish(self.results, self.request.history_file)
        except BaseException as error:
            self._abandon(error)
            raise
        if self.folder:
            problem = add_to_history(self.results, self.folder, self.request)
            if problem:
                warner(self.progress)(problem)
        if self._sidecar:
            self._sidecar.ended(self.results)
        return self.results

    def deliver(self) -> None:
        """Write the further outputs of a finished run, and report those that cannot be written."""
        assert self.results is not None, "finish() comes first"
        changed = not self.folder or has_changed(self.results, self.folder, self.request)
        page = str(self.folder / "report.html") if self.folder else ""
        deliver(self.results, self._outputs, warner(self.progress), changed=changed, page=page)

    def fail(self, error: BaseException) -> str:
        """Inform the outputs that the run ended without results; return the text to print.

        Where the report folder alone could not be written, the results go to the outputs.
        """
        if isinstance(error, UnwrittenError):
            deliver(error.results, self._outputs, warner(self.progress))
            return ""
        sentence = str(error) if isinstance(error, SENTENCES) else "wirecheck was terminated."
        return deliver_failure(self._outputs, sentence, warner(self.progress))

    def _opened(self) -> Session:
        """Open it as soon as the API answers: an upgrade may take it away for a while."""
        while True:
            try:
                return Session.open(self.request, self.progress)
            except ApiError as error:
                is_refused = isinstance(error, ConfigurationError) or (
                    isinstance(error, ApiStatusError) and error.status in (401, 403)
                )
                if is_refused or not self._waiting.left:
                    raise
                left = duration(self._waiting.left)
                self.progress.say(f"{error} Trying again for at most {left}.")
                self._waiting.pause()

    def _observed(self, session: Session, folder: Path, doubts: Sequence[str]) -> _Compared | None:
        """Take the rounds; evaluate all items now where the baseline or waiting needs them."""
        session.observe(self._checks, folder)
        if not self._baseline and not self._waiting.limit:
            return None
        compared = self._compare(session, doubts)
        if not session.interrupted:
            unreachable = session.source.thresholds.get(UNREACHABLE, 0)
            items = tuple(compared.items.values())
            self._waiting.saw(items, self.request.fail_on, unreachable)
        return compared

    def _compare(self, session: Session, doubts: Sequence[str]) -> _Compared:
        items = [
            each
            for each in session.evaluate()
            if self._chosen is None
            or (each.check, each.node) in self._chosen
            or self._is_added(each)
        ]
        comparison = None
        if self._baseline:
            items, comparison = self._baseline.settle(
                items, self._checks, doubts, self.request.selection
            )
        return _Compared({(each.check, each.node): each for each in items}, comparison)

    def _is_added(self, item: ItemResult) -> bool:
        return bool(item.node) and item.node not in self._known_nodes

    def _observe_again(self, doubts: Sequence[str]) -> bool:
        """Check the whole cluster once more; False if that failed, and the last results count."""
        assert self._folder is not None, "a live run has a folder"
        waiting = self._waiting
        try:
            self.progress.say(
                f"{plural(waiting.failing, 'item')} failing after {duration(waiting.passed)}; "
                f"checking again for at most {duration(waiting.left)}."
            )
            waiting.pause()
            session = self._opened()
            compared = self._observed(session, self._folder.next_snapshot, doubts)
        except (ApiError, KeyboardInterrupt) as error:
            why = str(error) or "interrupted."
            self.progress.say(f"Not checked again, so the last results count: {why}")
            self._folder.drop_next()
            return False
        if session.interrupted:
            self._folder.drop_next()
            return False
        self._folder.take_next()
        self._session, self._compared = session, compared
        return True

    def _doubts(self) -> list[str]:
        """Why the baseline is doubtful, if it is used all the same. Raises RequestError."""
        if self._baseline is None:
            return []
        source = self.session.source
        doubts = self._baseline.doubts(
            source.identity, source.thresholds.get(UNREACHABLE, 0), self.request.selection
        )
        return accepted_doubts(self._baseline, doubts, forced=self.request.force_baseline)

    def _finished(self, items: list[ItemResult] | None, *, interrupted: bool) -> Results:
        session, compared = self.session, self._compared
        if items is None:
            items = list(compared.items.values()) if compared else session.evaluate()
        results = session.finish(
            items,
            seconds=self._waiting.passed,
            fail_on=self.request.fail_on,
            interrupted=interrupted,
            comparison=compared.comparison if compared else None,
            prerequisites=self._prerequisites,
        )
        results = with_since(results, runs_of(results, self.request))
        return replace(
            results,
            started=replace(results.started, inspect_options=self.inspect_options),
            ended=replace(results.ended, wait=self._waiting.record),
        )

    @property
    def inspect_options(self) -> str:
        """The options that show what the run saw: the snapshot that it keeps or replays."""
        kept = self._folder.final / SNAPSHOT if self._folder else None
        snapshot = self.request.snapshot or kept
        return f"--snapshot {shlex.quote(str(snapshot))}" if snapshot else ""

    def _abandon(self, error: BaseException) -> None:
        """Remove the report folder. If it keeps a snapshot, a note on `error` names the folder."""
        if self._folder and (left := self._folder.abandon()):
            error.add_note(f"The snapshot up to then is in {left}.")
        self._folder = None


def perform(
    request: Request,
    globs: Sequence[str],
    progress: RunProgress,
    clock: Clock | None = None,
) -> tuple[Results, Path]:
    """Run the checks that match `globs`; return the results and the folder with the reports.

    Raises what `ReportedRun` does.
    """
    run = ReportedRun(request, progress, clock=clock)
    run_all(run, globs)
    assert run.results is not None
    assert run.folder is not None
    return run.results, run.folder


def run_all(run: ReportedRun, globs: Sequence[str]) -> None:
    """Run the checks of the request's profile that match `globs`, up to the report folder."""
    profile = run.request.profile
    known = load() if globs and profile is None else in_profile(load(), profile)
    run.select(
        selected(known, globs),
        prerequisites=prerequisites(load(), profile, globs),
    )
    run.open()
    run.observe()
    run.finish()
