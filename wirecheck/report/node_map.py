"""The map of nodes by checks: where it is red, at a glance. Nodes that are alike share a row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from wirecheck.catalogue.findings import Outcome
from wirecheck.results.ordering import RED, CheckResults, worst

MOST_ROWS = 150
CALM = frozenset({Outcome.PASS, Outcome.SKIP, None})

Pattern = tuple[Outcome | None, ...]
"""One outcome for each check; none where the check is not about this."""


@dataclass(frozen=True, slots=True)
class Column:
    """One check."""

    check: CheckResults
    first_of_group: bool


@dataclass(frozen=True, slots=True)
class Row:
    """Nodes with the same outcome in every check; `is_rest`: many that differ, at their worst."""

    nodes: tuple[str, ...]
    pattern: Pattern
    is_rest: bool = False

    @property
    def is_calm(self) -> bool:
        return all(outcome in CALM for outcome in self.pattern)


@dataclass(frozen=True, slots=True)
class NodeMap:
    """`groups` are the names over the columns, with the number of columns that each spans."""

    groups: tuple[tuple[str, int], ...]
    columns: tuple[Column, ...]
    cluster: Pattern
    """The row of the checks about the cluster; empty if there are none."""
    rows: tuple[Row, ...]


def node_map(checks: Sequence[CheckResults]) -> NodeMap:
    """Rows worst first, the ones where nothing is wrong last."""
    outcomes: dict[str, dict[int, Outcome]] = defaultdict(dict)
    for place, check in enumerate(checks):
        for item in (*check.items, *check.folded):
            seen = outcomes[item.node].get(place, item.outcome)
            outcomes[item.node][place] = worst([seen, item.outcome])
    places = range(len(checks))
    patterns = {node: tuple(map(seen.get, places)) for node, seen in outcomes.items()}
    cluster = patterns.pop("", ())
    groups = tuple((name, len(list(some))) for name, some in groupby(checks, lambda c: c.group))
    return NodeMap(groups, tuple(_columns(checks)), cluster, tuple(_rows(patterns)))


def _columns(checks: Sequence[CheckResults]) -> list[Column]:
    before = ["", *(check.group for check in checks)]
    return [
        Column(check, check.group != group) for check, group in zip(checks, before, strict=False)
    ]


def _rows(patterns: dict[str, Pattern]) -> list[Row]:
    alike: dict[Pattern, list[str]] = defaultdict(list)
    for node, pattern in sorted(patterns.items()):
        alike[pattern].append(node)
    rows = sorted((Row(tuple(nodes), pattern) for pattern, nodes in alike.items()), key=_gravity)
    loud, calm = [r for r in rows if not r.is_calm], [r for r in rows if r.is_calm]
    if len(loud) > MOST_ROWS:
        rest = loud[MOST_ROWS:]
        nodes = tuple(sorted(node for row in rest for node in row.nodes))
        columns = zip(*(row.pattern for row in rest), strict=True)
        loud = [*loud[:MOST_ROWS], Row(nodes, tuple(map(_worst_of, columns)), is_rest=True)]
    return [*loud, *calm]


def _worst_of(outcomes: Sequence[Outcome | None]) -> Outcome | None:
    some = [outcome for outcome in outcomes if outcome]
    return worst(some) if some else None


def _gravity(row: Row) -> tuple[int, int, int, tuple[str, ...]]:
    fails = sum(outcome is Outcome.FAIL for outcome in row.pattern)
    red = sum(outcome in RED for outcome in row.pattern)
    loud = sum(outcome not in CALM for outcome in row.pattern)
    return (-fails, -red, -loud, row.nodes)
