"""Findings as rows of a page. Equal findings of several nodes are one row."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wirecheck.catalogue.findings import Outcome
from wirecheck.report import sentences
from wirecheck.report.comparison import standing_word
from wirecheck.results.causes import ItemKey
from wirecheck.results.ordering import (
    ACCEPTED,
    WORST_FIRST,
    CheckResults,
    causes_of,
    most_each,
    symptoms_of,
)
from wirecheck.results.records import FindingRecord, ItemResult, RunStarted
from wirecheck.text import middle_shortened

MOST_ROWS = 4000
"""Rows on a page: browsers stay fast with that many. results.jsonl has all findings."""

LONGEST = 2000
"""Characters of one value, or of one text of evidence."""

MOST_NAMES = 5
"""Nodes that a row names. More are listed once, at the end of the page."""

MOST_LISTED = 50_000
"""Names in all of these lists: one list of a large cluster, or many of a small one."""

WITH_CARD = (
    Outcome.FAIL,
    Outcome.ERROR,
    Outcome.FLAKY,
    Outcome.WARN,
    Outcome.WAIVED,
    Outcome.KNOWN,
)


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding, or the reason of an item without findings, and the nodes that have it."""

    nodes: tuple[str, ...]
    """An empty name means the cluster."""
    outcome: Outcome
    name: str = ""
    expected: str = ""
    found: str = ""
    reason: str = ""
    rounds: int = 1
    standing: str = ""
    evidence: str = field(default="", compare=False)
    since: str = field(default="", compare=False)
    inspect: str = field(default="", compare=False)
    """The command that shows the object."""
    evidence_of: str = field(default="", compare=False)
    """The node with this evidence, if other nodes have the same finding."""
    accepted: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Card:
    """One check that has findings or could not be checked."""

    check: CheckResults
    rows: tuple[FindingRow, ...]
    left_out: int
    """The number of findings that no row shows."""
    following: dict[str, list[str]]
    """Checks whose failures likely follow from this one, with their nodes."""
    causes: list[str]
    """The checks from whose failures all of it likely follows."""


@dataclass(frozen=True, slots=True)
class NodeSet:
    """Nodes that share findings; rows refer to them by `number`."""

    number: int
    listed: tuple[str, ...]
    left_out: int
    """Nodes that are not listed, to keep the page fast."""


def cards(
    checks: Sequence[CheckResults],
    causes: Mapping[ItemKey, ItemKey],
    started: RunStarted | None = None,
) -> dict[Outcome, list[Card]]:
    """Cards by the check's worst outcome, each with its share of the rows that fit.

    Checks that are likely symptoms of others come last.
    """
    shown = [check for check in checks if check.having(*WITH_CARD)]
    rows = {check.record.id: rows_of_items(check.having(*WITH_CARD), started) for check in shown}
    each = most_each([len(some) for some in rows.values()], MOST_ROWS)
    found: dict[Outcome, list[Card]] = {outcome: [] for outcome in WORST_FIRST}
    for check in shown:
        some = rows[check.record.id]
        left_out = sum(len(row.nodes) for row in some[each:])
        found[check.outcome].append(
            Card(
                check,
                tuple(some[:each]),
                left_out,
                symptoms_of(check, causes),
                causes_of(check, causes),
            )
        )
    return {
        outcome: sorted(some, key=lambda card: bool(card.causes)) for outcome, some in found.items()
    }


def rows_of_items(
    items: Iterable[ItemResult], started: RunStarted | None = None
) -> list[FindingRow]:
    """The findings of one check, the worst items first, equal ones of several nodes in one row."""
    ordered = sorted(items, key=lambda item: WORST_FIRST.index(item.outcome))
    return grouped([row for item in ordered for row in _rows(item, started)])


def grouped(rows: Iterable[FindingRow]) -> list[FindingRow]:
    """The rows, with equal ones of several nodes in one. Accepted findings come last.

    Then those of most nodes come first, and the first finding of each node before any second one.
    """
    nodes: dict[FindingRow, dict[str, None]] = defaultdict(dict)
    first: dict[FindingRow, FindingRow] = {}
    turns: dict[FindingRow, int] = {}
    seen: Counter[str] = Counter()
    for row in rows:
        bare = replace(row, nodes=())
        nodes[bare].update(dict.fromkeys(row.nodes))
        seen.update(row.nodes)
        turns.setdefault(bare, max(seen[node] for node in row.nodes))
        if bare not in first or (row.evidence and not first[bare].evidence):
            first[bare] = row
    order = sorted(nodes, key=lambda bare: (bare.accepted, -len(nodes[bare]), turns[bare]))
    return [_of_nodes(first[bare], tuple(nodes[bare])) for bare in order]


def row_of(
    finding: FindingRecord, node: str, outcome: Outcome, started: RunStarted | None = None
) -> FindingRow:
    """The finding as a row of this node; with its command if the run is known."""
    about = sentences.object_name(finding)
    if finding.object.kind == "Node" and finding.object.name == node:
        # The row names the node, so that equal findings of several nodes can share it.
        about = finding.object.part or "the node"
    return FindingRow(
        nodes=(node,),
        outcome=outcome,
        name=about,
        expected=finding.expected,
        found=finding.found,
        rounds=finding.looks,
        standing=standing_word(finding),
        evidence="\n".join(middle_shortened(text, LONGEST) for text in finding.evidence),
        since=sentences.since_words(finding),
        inspect=sentences.inspect_command(finding, started) if started else "",
        accepted=finding.standing in ACCEPTED,
    )


def node_sets(rows: Iterable[FindingRow]) -> dict[tuple[str, ...], NodeSet]:
    """The sets of nodes that are too long for a row, each once, with as many names as fit."""
    long = dict.fromkeys(row.nodes for row in rows if len(row.nodes) > MOST_NAMES)
    sets, left = {}, MOST_LISTED
    for number, nodes in enumerate(long, 1):
        listed = nodes if len(nodes) <= left else nodes[:MOST_NAMES]
        sets[nodes] = NodeSet(number, listed, len(nodes) - len(listed))
        left -= len(listed)
    return sets


def named(cards: Iterable[Card]) -> Collection[str]:
    """The nodes that have a row."""
    return {node for card in cards for row in card.rows for node in row.nodes} - {""}


def _rows(item: ItemResult, started: RunStarted | None) -> Iterator[FindingRow]:
    if item.reason or not item.findings:
        reason = item.reason or "No reason was recorded."
        yield FindingRow((item.node,), item.outcome, reason=reason)
    for finding in item.findings:
        yield row_of(finding, item.node, _outcome(item, finding), started)


def _outcome(item: ItemResult, finding: FindingRecord) -> Outcome:
    """The outcome that a finding is shown with: accepted findings are not shown as failing."""
    if finding.standing in ("known", "waived"):
        return Outcome(finding.standing)
    if finding.flaky:
        return Outcome.FLAKY
    accepted = item.outcome in (Outcome.WAIVED, Outcome.KNOWN)
    return item.outcome if accepted else Outcome(finding.level.value)


def _of_nodes(row: FindingRow, nodes: tuple[str, ...]) -> FindingRow:
    if len(nodes) == 1:
        return row
    return replace(row, nodes=nodes, evidence_of=row.nodes[0] if row.evidence else "")
