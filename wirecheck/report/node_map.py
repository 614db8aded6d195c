"""The map of nodes by checks. Nodes with equal outcomes share a row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from wirecheck.catalogue.findings import Outcome
from wirecheck.results.ordering import FAILING, CheckResults, worst

MOST_ROWS = 150
CALM = frozenset({Outcome.PASS, Outcome.SKIP, None})

Pattern = tuple[Outcome | None, ...]
"""One outcome for each check; None where the check has no item."""


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
class NodeMap:
    """The map. `groups` are the headings, each with the number of columns that it spans."""

    groups: tuple[tuple[str, int], ...]
    columns: tuple[Column, ...]
    cluster: Pattern
    """The outcomes of the checks about the cluster; empty if there are none."""
    rows: tuple[NodeRow, ...]


def node_map(checks: Sequence[CheckResults]) -> NodeMap:
    """The map with the worst rows first and those where nothing is wrong last."""
    outcomes: dict[str, dict[int, Outcome]] = defaultdict(dict)
    for column, check in enumerate(checks):
        for item in (*check.items, *check.folded):
            seen = outcomes[item.node].get(column, item.outcome)
            outcomes[item.node][column] = worst([seen, item.outcome])
    columns = range(len(checks))
    patterns = {node: tuple(map(seen.get, columns)) for node, seen in outcomes.items()}
    cluster = patterns.pop("", ())
    groups = tuple((name, len(list(some))) for name, some in groupby(checks, lambda c: c.group))
    return NodeMap(groups, tuple(_columns(checks)), cluster, tuple(_rows(patterns)))


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
        (NodeRow(tuple(nodes), pattern) for pattern, nodes in alike.items()), key=_gravity
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
