"""`wirecheck diff -o html`: what is new, still there, fixed or unknown, as a page of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.finding_rows import (
    MOST_ROWS,
    OUTCOMES,
    FindingGroup,
    FindingRow,
    FoundOnNode,
    grouped,
    node_sets,
    unfolded,
)
from wirecheck.report.page_templates import rendered
from wirecheck.results.ordering import WORST_FIRST, most_each, total, worst
from wirecheck.results.records import CheckRecord, PastFinding, Results


@dataclass(frozen=True, slots=True)
class Difference:
    """What has become of the findings of two runs."""

    new: Sequence[PastFinding]
    known: Sequence[PastFinding]
    fixed: Sequence[PastFinding]
    unseen: Sequence[PastFinding]


@dataclass(frozen=True, slots=True)
class DiffCard:
    """The findings of one check in one section."""

    check: str
    sentence: str
    next_step: str
    outcome: Outcome
    rows: tuple[FindingRow, ...]
    left_out: int
    reasons: Mapping[str, int]
    """Why findings are fixed or unseen, where there is a reason, with their number."""

    @property
    def group(self) -> str:
        return self.check.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Section:
    """Findings with the same fate."""

    title: str
    findings: int
    cards: list[DiffCard]


def render(
    runs: tuple[Results, Results],
    sources: tuple[str, str],
    difference: Difference,
    changes: Sequence[str],
    summary: str,
) -> str:
    """The page. `runs` and `sources` have the earlier run first; `changes` are sentences."""
    before, now = runs
    records = {each.id: each for run in runs for each in run.started.checks}
    parts = (
        ("New", difference.new, None),
        ("Still there", difference.known, None),
        ("Fixed", difference.fixed, Outcome.PASS),
        ("Not checked again", difference.unseen, Outcome.ERROR),
    )
    sections = [_section(title, some, outcome, records) for title, some, outcome in parts]
    rows = (row for section in sections for card in section.cards for row in card.rows)
    return rendered(
        "diff_page.html.j2",
        tone=_tone(difference),
        before=before,
        now=now,
        sources=sources,
        summary=summary,
        doubts=["The earlier run was interrupted, so it is incomplete."]
        if before.ended.interrupted
        else [],
        sections=sections,
        changes=changes,
        node_sets=node_sets(rows),
        unfolded=unfolded(sum(len(section.cards) for section in sections)),
    )


def _tone(difference: Difference) -> Outcome:
    """The colour of the difference: what is new decides, then what is unknown."""
    if difference.new:
        return worst(OUTCOMES[each.finding.level] for each in difference.new)
    if difference.unseen:
        return Outcome.ERROR
    return Outcome.WARN if difference.known else Outcome.PASS


def _section(
    title: str,
    findings: Sequence[PastFinding],
    outcome: Outcome | None,
    records: Mapping[str, CheckRecord],
) -> Section:
    """`outcome` is that of all rows; None: the level of each finding."""
    by_check: dict[str, list[PastFinding]] = defaultdict(list)
    for each in findings:
        by_check[each.check].append(each)
    groups = {check: grouped(_found(some, outcome)) for check, some in by_check.items()}
    most = most_each([len(some) for some in groups.values()], MOST_ROWS)
    cards = [
        _card(check, some, groups[check], most, records.get(check))
        for check, some in by_check.items()
    ]
    cards.sort(key=lambda card: WORST_FIRST.index(card.outcome))
    return Section(title, len(findings), cards)


def _card(
    check: str,
    findings: Sequence[PastFinding],
    groups: Sequence[FindingGroup],
    most: int,
    record: CheckRecord | None,
) -> DiffCard:
    outcome = worst(group.outcome for group in groups)
    needs_action = outcome in (Outcome.FAIL, Outcome.WARN)
    remedies = (each.finding.remedy for each in findings if each.finding.remedy)
    remedy = next(remedies, record.remedy if record else "")
    return DiffCard(
        check=check,
        sentence=record.sentence if record else "",
        next_step=remedy if needs_action else "",
        outcome=outcome,
        rows=tuple(group.row() for group in groups[:most]),
        left_out=sum(len(group.nodes) for group in groups[most:]),
        reasons=total({each.why: 1} for each in findings if each.why),
    )


def _found(findings: Iterable[PastFinding], outcome: Outcome | None) -> Iterator[FoundOnNode]:
    for each in findings:
        yield each.node, outcome or OUTCOMES[each.finding.level], each.finding, ""
