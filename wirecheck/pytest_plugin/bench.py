"""What the items of one pytest session are judged on, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from wirecheck.catalogue.registry import Check
from wirecheck.evaluation.build import Evaluated, results_of
from wirecheck.evaluation.verdict import UNREACHABLE
from wirecheck.report.delivery import Output, deliver, read_output
from wirecheck.results.records import ItemResult, Results
from wirecheck.run.baseline import accepted_doubts, read_baseline
from wirecheck.run.live import listed_nodes
from wirecheck.run.previous_run import has_changed
from wirecheck.run.report_folder import ReportFolder, add_to_history
from wirecheck.run.request import SENTENCES, Request, RequestError
from wirecheck.run.round import Progress
from wirecheck.run.session import Run, open_run

ANY_NODE = "NODE"
"""Stands for the nodes where checks are only listed and no cluster was named or found."""


class Bench:
    """Opened when the first check is collected; looks when the first item is about to run."""

    def __init__(
        self,
        request: Request,
        *,
        only_lists: bool,
        writes_reports: bool,
        outputs: Sequence[str] = (),
    ) -> None:
        self.request = request
        self.only_lists = only_lists
        self.error: Exception | None = None
        """Why nothing can be judged; one of `request.SENTENCES`."""
        self.outputs: Sequence[Output] = ()
        try:
            self.outputs = [_read_output(each) for each in outputs]
        except RequestError as error:
            self.error = error
        self.others_failed = False
        """Whether a test that is no check failed in the same session."""
        self.results: Results | None = None
        self.reports: Path | None = None
        """Where the reports were written to, at the session's end."""
        self._writes_reports = writes_reports
        self._began = time.monotonic()
        self._wall_clock = time.time()
        self._node_names: Sequence[str] | None = None
        self._run: Run | None = None
        self._folder: ReportFolder | None = None
        self._checks: Sequence[Check] = ()
        self._progress: Progress | None = None
        self._items: dict[str, dict[str, ItemResult]] = {}
        self._judged = Evaluated()

    @property
    def node_names(self) -> Sequence[str]:
        """The nodes that there are items for. None where `error` says why."""
        if self._node_names is None:
            try:
                self._node_names = self._names()
            except SENTENCES as error:
                self._node_names = ()
                if self.only_lists and self.request == Request():
                    self._node_names = (ANY_NODE,)
                else:
                    self.error = error
        return self._node_names

    def begin(self, checks: Sequence[Check], progress: Progress) -> None:
        """Look, where the cluster is a live one. Raises what `request.SENTENCES` lists."""
        assert self._run is not None
        self._checks, self._progress = checks, progress
        self._run.introduce(progress)
        if self._writes_reports:
            self._folder = ReportFolder.create(self.request.report_dir, self._wall_clock)
        folder = self._folder.snapshot if self._folder else Path()
        try:
            self._run.begin(checks, folder, progress)
        except BaseException as error:
            if self._folder and (left := self._folder.abandon()):
                error.add_note(f"What was seen until then is in {left}.")
            self._run = None
            raise
        self._judged.interrupted = self._run.interrupted
        self._hold_against_baseline()

    def result(self, check: Check, node: str) -> ItemResult:
        """How the check ended on the node, or with an empty name on the cluster."""
        assert self._run is not None
        if node not in self._items:
            items = self._run.node(node) if node else self._run.cluster()
            self._items[node] = {item.check: item for item in items}
        return self._items[node][check.id]

    def count(self, item: ItemResult) -> None:
        """The item was run, so it belongs to the record of the session."""
        self._judged.items.append(item)

    def finish(self, *, interrupted: bool) -> None:
        """Make the record and write the reports. Raises RequestError."""
        if self._run is None or not self._checks:
            return
        self._judged.interrupted |= interrupted
        seconds = time.monotonic() - self._began
        self.results = results_of(
            self._run, self._checks, self._judged, seconds, self.request.fail_on
        )
        if self._folder:
            self.reports = self._folder.finish(self.results, self.request.history_file)
            problem = add_to_history(self.results, self.reports, self.request)
            if problem and self._progress:
                self._progress.say(problem)
        self._deliver(self.results)

    def _deliver(self, results: Results) -> None:
        """The further reports that were asked for."""
        assert self._progress is not None
        changed = not self.reports or has_changed(results, self.reports, self.request)
        page = str(self.reports / "report.html") if self.reports else ""
        deliver(results, self.outputs, self._progress.say, changed=changed, page=page)

    def _hold_against_baseline(self) -> None:
        """What is new shows only when all is judged: keys are counted over all nodes."""
        assert self._run is not None
        if self.request.baseline is None:
            return
        baseline = read_baseline(self.request.baseline)
        doubts = baseline.doubts(self._run.identity, self._run.thresholds.get(UNREACHABLE, 0))
        doubts = accepted_doubts(baseline, doubts, forced=self.request.force_baseline)
        items = [item for name in self._run.node_names for item in self._run.node(name)]
        items += self._run.cluster()
        settled, self._judged.comparison = baseline.settle(items, self._checks, doubts)
        for item in settled:
            self._items.setdefault(item.node, {})[item.check] = item

    def _names(self) -> Sequence[str]:
        if self.only_lists and not self.request.snapshot:
            return listed_nodes(self.request)
        self._run = open_run(self.request)
        return self._run.node_names


def _read_output(text: str) -> Output:
    """`markdown=FILE`. Raises RequestError: standard output is pytest's own."""
    try:
        output = read_output(text)
    except ValueError as error:
        raise RequestError(f"--output: {error}") from None
    if output.is_printed:
        raise RequestError(f"--output: name a file: {text}=FILE")
    return output
