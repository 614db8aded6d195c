"""Baselines: earlier runs that a later one is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import Check, load
from wirecheck.evaluation.selection import EVERYTHING, Selection, within
from wirecheck.report.sentences import coverage_sentence
from wirecheck.results.comparison import compared
from wirecheck.results.jsonl import ResultsError, read_results
from wirecheck.results.ordering import REACHABLE
from wirecheck.results.records import Comparison, ItemResult, Results, RunStarted
from wirecheck.run.progress import Silence
from wirecheck.run.replay import Replay
from wirecheck.run.request import RequestError
from wirecheck.run.selection import in_profile
from wirecheck.run.session import Session
from wirecheck.snapshot.folder import INDEX, Snapshot
from wirecheck.snapshot.index import ClusterIdentity
from wirecheck.text import harmless, listed

RESULTS = "results.jsonl"


@dataclass(frozen=True, slots=True)
class Baseline:
    """An earlier run, and where it was read from."""

    results: Results
    source: str

    def settle(
        self,
        items: Sequence[ItemResult],
        checks: Sequence[Check],
        doubts: Sequence[str] = (),
        selection: Selection = EVERYTHING,
    ) -> tuple[list[ItemResult], Comparison]:
        """Compare a run's items with this one: findings that were there before do not fail.

        `checks` and `selection` are those of the run; other earlier findings are ignored.
        """
        chosen = {check.id for check in checks}
        known = within(selection, self.results.items)
        before = [item for item in known if item.check in chosen]
        found = compared(before, items, chosen)
        return found.items, Comparison(
            source=self.source,
            time=self.results.started.time,
            new=found.new,
            known=found.known,
            fixed=found.fixed,
            unseen=found.unseen,
            doubts=list(doubts),
        )

    def doubts(
        self,
        cluster: ClusterIdentity,
        unreachable: float = 0,
        selection: Selection = EVERYTHING,
    ) -> list[str]:
        """Why this baseline cannot show what is new on `cluster`: sentences; none if it can.

        `unreachable` nodes may be missing in it.
        """
        ended, about = self.results.ended, self.results.started.cluster
        missing = sorted(
            item.node
            for item in self.results.items
            if item.check == REACHABLE and item.outcome is Outcome.ERROR
        )
        doubts = []
        if not ended.coverage.nodes_seen:
            doubts.append(f"It checked nothing: {coverage_sentence(ended.coverage)}.")
        elif len(missing) > unreachable:
            doubts.append(f"It could not check {listed(missing, 5)}.")
        if ended.interrupted:
            doubts.append("It was interrupted, so it is incomplete.")
        part = selection_of(self.results.started)
        if part and part != selection:
            doubts.append(f"It checked only {part.globs}.")
        if about.uid and cluster.uid and about.uid != cluster.uid:
            doubts.append(
                f"It is of another cluster ({about.name or 'unnamed'}, uid {about.uid}); this one "
                f"is {cluster.title or 'unnamed'}, uid {cluster.uid}."
            )
        return doubts


def read_baseline(path: Path, checks: Sequence[Check] | None = None) -> Baseline:
    """Read the run that `path` names: a results.jsonl, a run's folder, or a snapshot.

    In a folder with the reports of several runs, the latest counts. A snapshot is evaluated with
    its own thresholds and waivers. Raises RequestError or SnapshotError.
    """
    path = _latest(path) or path
    for file in (path / RESULTS, path):
        if file.is_file() and file.name != INDEX:
            return Baseline(_results(file), str(file))
    for folder in (path.parent if path.name == INDEX else path, path / "snapshot"):
        if (folder / INDEX).is_file():
            replayed = in_profile(load(), None) if checks is None else checks
            return Baseline(_replayed(folder, replayed), str(folder))
    raise RequestError(
        f"{path} is not an earlier run: name its {RESULTS}, the folder that it left, a "
        "--report-dir that it wrote to, or a snapshot."
    )


def selection_of(started: RunStarted) -> Selection:
    """The part of the cluster that a run was about."""
    return Selection(tuple(started.selected_nodes), tuple(started.selected_namespaces))


def accepted_doubts(baseline: Baseline, doubts: Sequence[str], *, forced: bool) -> list[str]:
    """The doubts, if the baseline is used despite them. Raises RequestError if not."""
    if doubts and not forced:
        raise RequestError(
            harmless(
                f"{baseline.source} cannot serve as a baseline: {' '.join(doubts)} Findings that "
                "it could not have would count as new. Name another one, or add --force-baseline."
            )
        )
    return list(doubts)


def _latest(reports: Path) -> Path | None:
    """The last run that left its folder in `reports`; None if there is none."""
    runs = [file.parent for file in reports.glob(f"*/{RESULTS}")]
    # A second run within one second has a number after its time.
    return max(runs, key=lambda run: (run.name[:20], len(run.name), run.name), default=None)


def _results(file: Path) -> Results:
    try:
        return read_results(file)
    except ResultsError as error:
        raise RequestError(str(error)) from None


def _replayed(folder: Path, checks: Sequence[Check]) -> Results:
    session = Session(Replay(Snapshot.open(folder)), Silence())
    ids = {check.id for check in checks}
    # It shows which nodes the baseline did not see, regardless of the checks of this run.
    checks = [*checks, *(c for c in load() if c.id == REACHABLE and c.id not in ids)]
    session.observe(checks, folder)
    items = session.evaluate()
    if session.interrupted:
        raise KeyboardInterrupt
    return session.finish(items)
