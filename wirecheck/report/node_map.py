"""The map of nodes by checks: only checks that are not all right, the others on demand.

Nodes with equal outcomes share a row. The columns are divided into bands that fit a sheet of A4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from wirecheck.catalogue.findings import Outcome
from wirecheck.results.ordering import CALM, FAILING, CheckResults, worst

MOST_ROWS = 150
MOST_COLUMNS = 32
"""Columns of one band: as many as fit a sheet of A4 beside the names of nodes."""

Pattern = tuple[Outcome | None, ...]
"""One outcome for each check; None where the check has no item."""

OutcomesOfNodes = Mapping[str, Mapping[str, Outcome]]
"""By node, or an empty name for the cluster, and by check: the worst outcome."""


@dataclass(frozen=True, slots=True)
class Column:
    """The column of one check."""

    check: CheckResults
    first_of_group: bool


@dataclass(frozen=True, slots=True)
class NodeRow:
    """Nodes with the same outcome in every check.

    `is_rest`: nodes with different outcomes that share the last row; it shows their worst ones.
    """

    nodes: tuple[str, ...]
    pattern: Pattern
    is_rest: bool = False

    @property
    def is_calm(self) -> bool:
        return all(outcome in CALM for outcome in self.pattern)


@dataclass(frozen=True, slots=True)
class Band:
    """Some columns of the map. `groups` are the headings, each with the columns that it spans."""

    groups: tuple[tuple[str, int], ...]
    columns: tuple[Column, ...]
    cluster: Pattern
    """The outcomes of the checks about the cluster; empty if there are none."""
    rows: tuple[NodeRow, ...]


@dataclass(frozen=True, slots=True)
class NodeMap:
    """The map: first the checks that found something on a node, then the others."""

    loud: tuple[Band, ...]
    calm: tuple[Band, ...]

    @property
    def calm_checks(self) -> int:
        """The number of checks that passed, or did not apply, on every node."""
        return sum(len(band.columns) for band in self.calm)


def node_map(checks: Sequence[CheckResults]) -> NodeMap:
    """The map, in each band with the worst rows first and those where nothing is wrong last."""
    outcomes = _outcomes(checks)
    loud = [check for check in checks if _is_loud(check)]
    calm = [check for check in checks if not _is_loud(check)]
    return NodeMap(_bands(loud, outcomes), _bands(calm, outcomes))


def _is_loud(check: CheckResults) -> bool:
    """Whether the check found something. Nodes that were not checked are reported elsewhere."""
    return any(item.outcome not in CALM for item in check.items)


def _outcomes(checks: Sequence[CheckResults]) -> OutcomesOfNodes:
    outcomes: dict[str, dict[str, Outcome]] = defaultdict(dict)
    for check in checks:
        for item in (*check.items, *check.folded):
            seen = outcomes[item.node].get(check.record.id, item.outcome)
            outcomes[item.node][check.record.id] = worst([seen, item.outcome])
    return outcomes


def _bands(checks: Sequence[CheckResults], outcomes: OutcomesOfNodes) -> tuple[Band, ...]:
    return tuple(
        _band(checks[start : start + MOST_COLUMNS], outcomes)
        for start in range(0, len(checks), MOST_COLUMNS)
    )


def _band(checks: Sequence[CheckResults], outcomes: OutcomesOfNodes) -> Band:
    ids = [check.record.id for check in checks]
    patterns = {node: tuple(map(seen.get, ids)) for node, seen in outcomes.items()}
    cluster = patterns.pop("", ())
    groups = tuple((name, len(list(some))) for name, some in groupby(checks, lambda c: c.group))
    shown = cluster if any(cluster) else ()
    return Band(groups, tuple(_columns(checks)), shown, tuple(_rows(patterns)))


def _columns(checks: Sequence[CheckResults]) -> list[Column]:
    before = ["", *(check.group for check in checks)]
    return [
        Column(check, check.group != group) for check, group in zip(checks, before, strict=False)
    ]


def _rows(patterns: dict[str, Pattern]) -> list[NodeRow]:
    alike: dict[Pattern, list[str]] = defaultdict(list)
    for node, pattern in sorted(patterns.items()):
        alike[pattern].append(node)
    rows = sorted(
        (NodeRow(tuple(nodes), pattern) for pattern, nodes in alike.items() if any(pattern)),
        key=_gravity,
    )
    loud, calm = [r for r in rows if not r.is_calm], [r for r in rows if r.is_calm]
    if len(loud) > MOST_ROWS:
        rest = loud[MOST_ROWS:]
        nodes = tuple(sorted(node for row in rest for node in row.nodes))
        columns = zip(*(row.pattern for row in rest), strict=True)
        loud = [*loud[:MOST_ROWS], NodeRow(nodes, tuple(map(_worst_of, columns)), is_rest=True)]
    return [*loud, *calm]


def _worst_of(outcomes: Sequence[Outcome | None]) -> Outcome | None:
    some = [outcome for outcome in outcomes if outcome]
    return worst(some) if some else None


def _gravity(row: NodeRow) -> tuple[int, int, int, tuple[str, ...]]:
    fails = sum(outcome is Outcome.FAIL for outcome in row.pattern)
    failing = sum(outcome in FAILING for outcome in row.pattern)
    loud = sum(outcome not in CALM for outcome in row.pattern)
    return (-fails, -failing, -loud, row.nodes)
