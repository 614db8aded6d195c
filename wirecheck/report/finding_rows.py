"""Findings as rows of a page. Equal findings of several nodes are one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.report import sentences
from wirecheck.report.comparison import standing_word
from wirecheck.results.causes import ItemKey
from wirecheck.results.ordering import (
    ACCEPTED,
    REMARKABLE,
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

MOST_UNFOLDED = 1000
"""Rows that are not folded, about: a browser lays them out before the page can be read."""

LONGEST = 2000
"""Characters of one value, or of one text of evidence."""

MOST_NAMES = 5
"""Nodes that a row names. More are listed once, at the end of the page."""

MOST_LISTED = 50_000
"""Names in all of these lists: one list of a large cluster, or many of a small one."""

OUTCOMES = {level: Outcome(level.value) for level in Level}
"""The outcome of a finding that nothing covers."""


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
    evidence: str = ""
    since: str = ""
    inspect: str = ""
    """The command that shows the object."""
    evidence_of: str = ""
    """The node with this evidence, if other nodes have the same finding."""


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


@dataclass(slots=True)
class FindingGroup:
    """Equal findings, or equal reasons, of several nodes."""

    node: str
    """The node that the finding is of: the first one, if possible with evidence."""
    outcome: Outcome
    finding: FindingRecord | None
    """None if there is only a reason."""
    reason: str
    turn: int
    """The number of the finding on its first node, from 1."""
    nodes: dict[str, None] = field(default_factory=dict)

    @property
    def is_accepted(self) -> bool:
        """Whether a baseline or waiver covers it."""
        return self.finding is not None and self.finding.standing in ACCEPTED

    def row(self, started: RunStarted | None = None) -> FindingRow:
        """The group as a row; with the command for the object if the run is known."""
        nodes, finding = tuple(self.nodes), self.finding
        if finding is None:
            return FindingRow(nodes, self.outcome, reason=self.reason)
        return FindingRow(
            nodes=nodes,
            outcome=self.outcome,
            name=_name(finding, self.node),
            expected=finding.expected,
            found=finding.found,
            rounds=finding.looks,
            standing=standing_word(finding),
            evidence="\n".join(middle_shortened(text, LONGEST) for text in finding.evidence),
            evidence_of=self.node if finding.evidence and len(nodes) > 1 else "",
            since=sentences.since_words(finding),
            inspect=sentences.inspect_command(finding, started) if started else "",
        )


FoundOnNode = tuple[str, Outcome, FindingRecord | None, str]
"""A node, the outcome, and the finding or a reason."""


def cards(
    checks: Sequence[CheckResults],
    causes: Mapping[ItemKey, ItemKey],
    started: RunStarted | None = None,
) -> dict[Outcome, list[Card]]:
    """Cards by the check's worst outcome, each with its share of the rows that fit.

    Checks that are likely symptoms of others come last.
    """
    shown = [(check, items) for check in checks if (items := check.having(*REMARKABLE))]
    groups = [groups_of_items(items) for _, items in shown]
    each = most_each([len(some) for some in groups], MOST_ROWS)
    found: dict[Outcome, list[Card]] = {outcome: [] for outcome in WORST_FIRST}
    for (check, _), some in zip(shown, groups, strict=True):
        found[check.outcome].append(
            Card(
                check,
                tuple(group.row(started) for group in some[:each]),
                sum(len(group.nodes) for group in some[each:]),
                symptoms_of(check, causes),
                causes_of(check, causes),
            )
        )
    return {
        outcome: sorted(some, key=lambda card: bool(card.causes)) for outcome, some in found.items()
    }


def groups_of_items(items: Iterable[ItemResult]) -> list[FindingGroup]:
    """The findings of one check, the worst items first, equal ones of several nodes in one."""
    ordered = sorted(items, key=lambda item: WORST_FIRST.index(item.outcome))
    return grouped(each for item in ordered for each in _findings(item))


def grouped(found: Iterable[FoundOnNode]) -> list[FindingGroup]:
    """The findings, equal ones of several nodes in one group. Accepted findings come last.

    Then those of most nodes come first, and the first finding of each node before any second one.
    """
    groups: dict[tuple[Hashable, ...], FindingGroup] = {}
    seen: Counter[str] = Counter()
    for node, outcome, finding, reason in found:
        seen[node] += 1
        key = (outcome, reason) if finding is None else (outcome, *_key(finding, node))
        group = groups.get(key)
        if group is None:
            group = groups[key] = FindingGroup(node, outcome, finding, reason, seen[node])
        elif finding and finding.evidence and group.finding and not group.finding.evidence:
            group.node, group.finding = node, finding
        group.nodes[node] = None
    return sorted(
        groups.values(), key=lambda group: (group.is_accepted, -len(group.nodes), group.turn)
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


def unfolded(cards: int) -> int:
    """The rows of each card that are not folded: fewer on a page of many cards."""
    return max(5, min(25, MOST_UNFOLDED // max(1, cards)))


def named(cards: Iterable[Card]) -> Collection[str]:
    """The nodes that have a row."""
    return {node for card in cards for row in card.rows for node in row.nodes} - {""}


def _findings(item: ItemResult) -> Iterator[FoundOnNode]:
    if item.reason or not item.findings:
        yield item.node, item.outcome, None, item.reason or "No reason was recorded."
    for finding in item.findings:
        yield item.node, _outcome(item, finding), finding, ""


def _key(finding: FindingRecord, node: str) -> tuple[Hashable, ...]:
    """What findings of several nodes must have in common to share a row."""
    about = finding.object
    return (
        about.kind,
        about.namespace,
        "" if _is_the_node(finding, node) else about.name,
        about.part,
        about.workload,
        finding.expected,
        finding.found,
        finding.looks,
        finding.standing,
        str(finding.flaky) if finding.flaky else "",
    )


def _name(finding: FindingRecord, node: str) -> str:
    # The row names the node, so that equal findings of several nodes can share it.
    if _is_the_node(finding, node):
        return finding.object.part or "the node"
    return sentences.object_name(finding)


def _is_the_node(finding: FindingRecord, node: str) -> bool:
    return finding.object.kind == "Node" and finding.object.name == node


def _outcome(item: ItemResult, finding: FindingRecord) -> Outcome:
    """The outcome that a finding is shown with: accepted findings are not shown as failing."""
    if finding.standing in ("known", "waived"):
        return Outcome(finding.standing)
    if finding.flaky:
        return Outcome.FLAKY
    accepted = item.outcome in (Outcome.WAIVED, Outcome.KNOWN)
    return item.outcome if accepted else OUTCOMES[finding.level]
