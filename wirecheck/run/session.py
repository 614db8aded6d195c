"""The one driver: open a source, observe it, evaluate checks, settle, finish with results.

A live cluster and a snapshot take the same path. They differ in the source alone.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from wirecheck.catalogue.registry import Check
from wirecheck.evaluation.build import Evaluated, results_of
from wirecheck.evaluation.evaluate import Evaluation
from wirecheck.evaluation.unsettled import concerned
from wirecheck.evaluation.verdict import FailOn
from wirecheck.model.cluster import Cluster
from wirecheck.report.preliminary import preliminary
from wirecheck.results.measures import NodeMeasures
from wirecheck.results.records import Comparison, ItemResult, Results
from wirecheck.run.live import LiveCluster
from wirecheck.run.progress import CountsDown, RunProgress
from wirecheck.run.replay import Replay
from wirecheck.run.request import Request
from wirecheck.run.source import Rounds, Source
from wirecheck.snapshot.folder import Snapshot
from wirecheck.text import plural

MARGIN = 1.0
"""Seconds that are added to a pause, because times of API objects are whole seconds."""
CLUSTER = ""
"""Represents the cluster among the names of nodes."""


class Session:
    """One source, its observation, and the outcomes of checks there.

    `observe` comes first. Items are evaluated node by node, when somebody asks for them or when
    settling needs them; the documents of at most one node are in memory at a time.
    """

    def __init__(self, source: Source, progress: RunProgress) -> None:
        self.source = source
        self.interrupted = False
        """Whether the user ended the rounds or the evaluation early."""
        self._progress = progress
        self._checks: tuple[Check, ...] = ()
        self._snapshot: Snapshot | None = None
        self._evaluation: Evaluation | None = None
        self._first_round: Cluster | None = None
        self._measured: dict[str, NodeMeasures] = {}
        self._waits: dict[str, float] = {}
        self._revisited: dict[str, frozenset[str]] = {}
        self._left_out: set[object] = set()
        """The findings about objects that are not selected."""
        self._items: dict[str, tuple[ItemResult, ...]] = {}
        self._pending: list[str] = []
        """The nodes, and the cluster, that are yet to be evaluated."""

    @classmethod
    def open(cls, request: Request, progress: RunProgress) -> Session:
        """Open the snapshot that was named or, without one, the live cluster.

        Raises what `request.SENTENCES` lists.
        """
        source = Replay.open(request) if request.snapshot else LiveCluster.open(request)
        return cls(source, progress)

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot with all rounds so far."""
        assert self._snapshot is not None, "observe() comes first"
        return self._snapshot

    @property
    def first_round(self) -> Cluster:
        """The cluster in the round that visits every node."""
        if self._first_round is None:
            self._first_round = self._evaluator().first_round
        return self._first_round

    def observe(self, checks: Sequence[Check], folder: Path) -> None:
        """Take the first round, then settle: take further ones while something may be transient.

        A live cluster is collected into `folder`. A keyboard interrupt ends the rounds early; it
        is raised again where not even the first round has ended.
        """
        self._checks = tuple(checks)
        with self.source.rounds(folder, self._progress, checks) as rounds:
            try:
                rounds.first()
                self._read(rounds, (*self.source.node_names, CLUSTER))
                self._settle(rounds)
            except KeyboardInterrupt:
                if not rounds.finished:
                    raise
                rounds.interrupt()
        self.interrupted |= rounds.interrupted
        if self._snapshot is None:
            self._read(rounds, (*self.source.node_names, CLUSTER))
        # Its index may have a note that was added since it was opened.
        self._snapshot = rounds.snapshot

    def see(
        self, folder: Path, nodes: Collection[str] | None = None, pauses: Sequence[float] = ()
    ) -> Snapshot:
        """Visit `nodes`, or all, and again after each of `pauses`. Evaluates nothing."""
        wanted = self.source.node_names if nodes is None else nodes
        with self.source.rounds(folder, self._progress) as rounds:
            try:
                rounds.first(wanted)
                for pause in pauses:
                    if rounds.interrupted:
                        break
                    self._progress.say(f"Visiting the nodes again in {pause:g} s.")
                    time.sleep(pause)
                    if not rounds.another(wanted):
                        break
            except KeyboardInterrupt:
                if not rounds.finished:
                    raise
                rounds.interrupt()
        self.interrupted |= rounds.interrupted
        self._read(rounds, (*self.source.node_names, CLUSTER))
        return self.snapshot

    def items(self, name: str) -> Sequence[ItemResult]:
        """How each check ends on the node, or with an empty name on the cluster."""
        if name in self._pending:
            self._evaluate(name)
        return self._items.get(name, ())

    def evaluate(self, checks: Sequence[Check] | None = None) -> list[ItemResult]:
        """Every item: node after node, then the cluster's.

        `checks` replace those of `observe`. If the user interrupts, the items are those so far.
        """
        if checks is not None:
            self._checks, self._evaluation = tuple(checks), None
        try:
            for name in tuple(self._pending):
                self._evaluate(name)
        except KeyboardInterrupt:
            self._progress.say("Interrupted: reporting what was evaluated so far.")
            self.interrupted = True
            self._pending.clear()
        names = (*self.source.node_names, CLUSTER)
        return [item for name in names for item in self._items.get(name, ())]

    def finish(
        self,
        items: list[ItemResult],
        *,
        seconds: float = 0.0,
        fail_on: FailOn = "fail",
        interrupted: bool = False,
        comparison: Comparison | None = None,
        prerequisites: Collection[str] = (),
    ) -> Results:
        """The results, with `items` as they were evaluated or compared with a baseline."""
        evaluated = Evaluated(
            source=self.source.name,
            snapshot=self.snapshot,
            first_round=self.first_round,
            checks=self._checks,
            items=items,
            measured=self._measured,
            overrides=self.source.overrides,
            prerequisites=prerequisites,
            selection=self.source.selection,
            selected_nodes=self.source.node_names,
            left_out=len(self._left_out),
            interrupted=self.interrupted or interrupted,
            comparison=comparison,
        )
        return results_of(evaluated, seconds, fail_on)

    def _settle(self, rounds: Rounds) -> None:
        for longest in self.source.pauses:
            if rounds.interrupted:
                return
            items = self.evaluate()
            nodes = concerned(items, self._checks)
            if self.interrupted or not nodes:
                return
            if rounds.finished == 1:
                self._say_preliminary(items)
            # A round before anything could be proven would only repeat the last one.
            pause = min(longest, max(self._waits.values(), default=longest) + MARGIN)
            self._pause(pause, _why_again(nodes))
            nodes |= frozenset().union(*self._revisited.values()) & set(self.source.node_names)
            if not rounds.another(nodes):
                return
            self._read(rounds, (*sorted(nodes - {CLUSTER}), CLUSTER))

    def _pause(self, seconds: float, why: str) -> None:
        """Let the time pass: with a countdown on a terminal, elsewhere after one line."""
        progress = self._progress
        if not (isinstance(progress, CountsDown) and progress.counts_down(seconds, why)):
            progress.say(f"{why} in {seconds:.3g} s.")
            time.sleep(seconds)

    def _say_preliminary(self, items: Sequence[ItemResult]) -> None:
        """Print what the first round found, so that nobody has to wait for it."""
        for line in preliminary(items):
            self._progress.say(line)

    def _read(self, rounds: Rounds, names: Sequence[str]) -> None:
        """Evaluate `names` from now on, over all rounds so far."""
        self._snapshot = rounds.snapshot
        # Before the next one is read: of a large cluster the API's objects take hundreds of MB.
        self._evaluation = self._first_round = None
        self._pending = list(names)

    def _evaluator(self) -> Evaluation:
        if self._evaluation is None:
            self._evaluation = Evaluation(self.snapshot, self._checks, self.source.selection)
        return self._evaluation

    def _evaluate(self, name: str) -> None:
        evaluation = self._evaluator()
        self._first_round = evaluation.first_round
        self._items[name] = tuple(evaluation.node(name) if name else evaluation.cluster())
        self._waits[name] = evaluation.waits[name]
        self._revisited[name] = evaluation.revisited[name]
        if name in evaluation.measured:
            self._measured[name] = evaluation.measured[name]
        self._left_out |= evaluation.left_out
        self._pending.remove(name)


def _why_again(nodes: Collection[str]) -> str:
    names = set(nodes) - {CLUSTER}
    what = plural(len(names), "node") if names else "the API"
    return f"Possibly transient; checking {what} again"
