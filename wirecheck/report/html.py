"""`report.html`: the run as one file that is readable without a network and without scripts.

Findings come first, then what was not evaluated; what passed is folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.finding_rows import Card, NodeSet, cards, named, node_sets, unfolded
from wirecheck.report.node_map import NodeMap, node_map
from wirecheck.report.page_templates import rendered
from wirecheck.report.trend import Trends
from wirecheck.results.causes import symptoms
from wirecheck.results.ordering import (
    REACHABLE,
    WORST_FIRST,
    CheckResults,
    UncheckedNodes,
    by_check,
    tone,
    total,
    unchecked_nodes,
    without_unchecked,
)
from wirecheck.results.records import Results
from wirecheck.results.tally import WORDS, Tally, tally_of
from wirecheck.text import listed

MOST_NAMES = 20
"""Nodes that are named with a reason why something was not evaluated."""


@dataclass(frozen=True, slots=True)
class Unexplained:
    """Objects that are inconclusive for one reason: their number, the checks and the nodes."""

    reason: str
    objects: int
    checks: list[str]
    nodes: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the template shows."""

    results: Results
    tone: Outcome
    checks: list[CheckResults]
    groups: list[str]
    map: NodeMap
    cards: dict[Outcome, list[Card]]
    carded: frozenset[str]
    """The checks that have a card."""
    node_sets: dict[tuple[str, ...], NodeSet]
    """The sets of nodes that rows refer to by number."""
    unfolded: int
    """The rows of each card that are not folded."""
    unchecked: list[UncheckedNodes]
    without_result: list[str]
    """The checks that were selected and have no result for any node."""
    without_visit: list[str]
    """The checks that have no result because no node was visited."""
    gaps: dict[str, str]
    """By check: the nodes that it has no result for."""
    changed: dict[str, list[str]]
    """Inconclusive objects that changed during the run, by check."""
    explained: list[Unexplained]
    """The other inconclusive objects."""
    skipped: dict[str, dict[str, int]]
    """By check: the reasons why items were skipped, with the number of items."""
    tally: Tally
    phrases: dict[Outcome, str]
    """What the checks did, by each outcome that an item has: `3 checks failed on 2 nodes`."""
    nodes: list[str]
    """The nodes that the page has rows about."""


def render(results: Results, trends: Trends | None = None) -> str:
    """The complete page, with charts of earlier runs if there are any."""
    return _rendered("page.html.j2", results, trends, embedded=False)


def render_fragment(results: Results) -> str:
    """The page's content, for embedding in another page. Its style does not affect that page."""
    return _rendered("page_content.html.j2", results, None, embedded=True)


def _rendered(template: str, results: Results, trends: Trends | None, *, embedded: bool) -> str:
    page = _page(results)
    return rendered(
        template,
        page=page,
        tone=page.tone,
        started=results.started,
        ended=results.ended,
        coverage=results.ended.coverage,
        embedded=embedded,
        trends=trends,
    )


def _page(results: Results) -> Page:
    checks = by_check(results)
    own = without_unchecked(checks)
    by_outcome = cards(own, symptoms(results.items), results.started)
    shown = [card for some in by_outcome.values() for card in some]
    unchecked = unchecked_nodes(results)
    nodes = {*named(shown), *(node for each in unchecked for node in each.nodes)}
    tally = tally_of(results)
    having = {item.outcome for item in results.items}
    present = {check.record.id for check in checks}
    return Page(
        results=results,
        tone=tone(results),
        checks=checks,
        groups=list(dict.fromkeys(check.group for check in checks)),
        map=node_map(own),
        cards=by_outcome,
        carded=frozenset(card.check.record.id for card in shown),
        node_sets=node_sets(row for card in shown for row in card.rows),
        unfolded=unfolded(len(shown)),
        unchecked=unchecked,
        without_result=[each.id for each in results.started.checks if each.id not in present],
        without_visit=[check.record.id for check in checks if not check.items],
        gaps=_gaps(checks),
        changed=_changed(checks),
        explained=_explained(results, checks),
        skipped=_skipped(checks),
        tally=tally,
        phrases={
            each: tally.phrase(each) if tally.number(each) else WORDS[each]
            for each in WORST_FIRST
            if each in having
        },
        nodes=sorted(nodes - {""}),
    )


def _gaps(checks: Sequence[CheckResults]) -> dict[str, str]:
    """The nodes of the run that a check has no result for, if it has results for others."""
    having = {check.record.id: _nodes(check) for check in checks}
    known = set().union(*having.values())
    missing = {identity: sorted(known - nodes) for identity, nodes in having.items() if nodes}
    return {identity: listed(nodes, MOST_NAMES) for identity, nodes in missing.items() if nodes}


def _nodes(check: CheckResults) -> set[str]:
    return {item.node for item in (*check.items, *check.folded) if item.node}


def _changed(checks: Iterable[CheckResults]) -> dict[str, list[str]]:
    names = {
        check.record.id: sorted({name for item in check.items for name in item.undecided})
        for check in checks
    }
    return {identity: some for identity, some in names.items() if some}


def _explained(results: Results, checks: Sequence[CheckResults]) -> list[Unexplained]:
    """What a legitimate cause may explain, with the checks and nodes that met it."""
    found = []
    for reason, number in results.ended.coverage.unjudged.items():
        items = [item for check in checks for item in check.items if item.unjudged.get(reason)]
        nodes = sorted({item.node for item in items} - {""})
        found.append(
            Unexplained(
                reason,
                number,
                list(dict.fromkeys(item.check for item in items)),
                listed(nodes, MOST_NAMES),
            )
        )
    return found


def _skipped(checks: Iterable[CheckResults]) -> dict[str, dict[str, int]]:
    reasons: Mapping[str, dict[str, int]] = {
        check.record.id: total(
            {item.reason or "No reason was recorded.": 1}
            for item in check.having(Outcome.SKIP)
            if check.record.id != REACHABLE
        )
        for check in checks
    }
    return {identity: some for identity, some in reasons.items() if some}
