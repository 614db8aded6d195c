"""Outcomes of checks and measured values over the last runs, prepared for charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.sentences import OUTCOME_WORDS
from wirecheck.results.history import HistoryEntry
from wirecheck.results.measures import MEASURES
from wirecheck.results.ordering import CALM
from wirecheck.text import plural

MOST_RUNS = 60
MOST_CHECKS = 40
WIDTH, HEIGHT, MARGIN = 300.0, 40.0, 2.0


@dataclass(frozen=True, slots=True)
class MeasureLine:
    """One measured value over the runs; None where a run lacks it.

    `pieces` are the points of its lines within 300 by 40. A missing value is a gap in the line.
    """

    what: str
    unit: str
    values: tuple[float | None, ...]
    pieces: tuple[str, ...]

    @property
    def last(self) -> str:
        """The newest value."""
        return shown(next(value for value in reversed(self.values) if value is not None), self.unit)

    @property
    def range(self) -> str:
        """The smallest and the largest value: `0.1 to 3.2 ms`."""
        seen = [value for value in self.values if value is not None]
        return f"{shown(min(seen), self.unit)} to {shown(max(seen), self.unit)}"

    @property
    def summary(self) -> str:
        """The chart as text."""
        return f"{self.last} now; {self.range} in {plural(len(self.values), 'run')}"


@dataclass(frozen=True, slots=True)
class CheckRow:
    """The worst outcome of one check in each run; None where it was not evaluated."""

    check: str
    outcomes: tuple[Outcome | None, ...]

    @property
    def summary(self) -> str:
        """`not healthy in 2 of 14 runs, now passed`."""
        bad = [outcome for outcome in self.outcomes if outcome not in CALM]
        last = self.outcomes[-1]
        now = OUTCOME_WORDS[last] if last else "not evaluated"
        return f"not healthy in {len(bad):,} of {plural(len(self.outcomes), 'run')}, now {now}"


@dataclass(frozen=True, slots=True)
class Trends:
    """The last runs, the oldest first."""

    times: tuple[str, ...]
    statuses: tuple[int, ...]
    measures: tuple[MeasureLine, ...]
    checks: tuple[CheckRow, ...]
    """The checks that were not healthy in at least one run."""


def trends(runs: Sequence[HistoryEntry]) -> Trends:
    """The trends of the last runs. `runs` has the oldest first."""
    runs = runs[-MOST_RUNS:]
    return Trends(
        times=tuple(run.time for run in runs),
        statuses=tuple(run.status for run in runs),
        measures=tuple(filter(None, (_measure(name, runs) for name in MEASURES))),
        checks=tuple(_checks(runs)[:MOST_CHECKS]),
    )


def shown(value: float, unit: str) -> str:
    """The value with three digits; milliseconds if it is less than a second."""
    if unit == "s" and abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} {unit}"


def _measure(name: str, runs: Sequence[HistoryEntry]) -> MeasureLine | None:
    values = tuple(run.measured.get(name) for run in runs)
    if all(value is None for value in values):
        return None
    what, unit = MEASURES[name]
    return MeasureLine(what, unit, values, tuple(_pieces(values)))


def _pieces(values: Sequence[float | None]) -> list[str]:
    """The points of the lines, from zero at the bottom to the largest value at the top."""
    top = max((value for value in values if value is not None), default=0) or 1
    step = WIDTH / max(1, len(values) - 1)
    pieces: list[list[str]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            pieces.append([])
            continue
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * max(0.0, value) / top
        pieces[-1].append(f"{number * step:.1f},{y:.1f}")
    # A single value between two gaps becomes a dot: browsers do not draw a line of one point.
    return [" ".join(piece if piece[1:] else piece * 2) for piece in pieces if piece]


def _checks(runs: Sequence[HistoryEntry]) -> list[CheckRow]:
    names = list(dict.fromkeys(name for run in reversed(runs) for name in run.checks))
    rows = [
        CheckRow(name, tuple(_outcome(run.checks.get(name, "")) for run in runs)) for name in names
    ]
    rows = [row for row in rows if set(row.outcomes) - CALM]
    return sorted(rows, key=lambda row: (row.outcomes[-1] in CALM, row.check))


def _outcome(word: str) -> Outcome | None:
    return Outcome(word) if word in Outcome.__members__.values() else None
