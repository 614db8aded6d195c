"""`report.html`: the run as one file that is readable without a network and without scripts.

Failures come first. What was not checked has as much room; what passed is folded.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from wirecheck.catalogue.findings import Outcome
from wirecheck.report import sentences
from wirecheck.report.comparison import comparison_sentence, past_sentence, standing_word
from wirecheck.report.gates import healing_sentences, wait_sentence, waiver_sentence
from wirecheck.report.node_map import NodeMap, node_map
from wirecheck.report.trend import Trends
from wirecheck.results.causes import ItemKey, symptoms
from wirecheck.results.ordering import (
    REACHABLE,
    WORST_FIRST,
    CheckResults,
    UncheckedNodes,
    by_check,
    causes_of,
    first_findings,
    symptoms_of,
    tone,
    total,
    unchecked_nodes,
    without_unchecked,
)
from wirecheck.results.records import FindingRecord, ItemResult, Results
from wirecheck.text import duration, harmless, harmless_lines, listed, moment, plural, shortened

MOST_FINDINGS = 4000
"""Findings on the page: browsers stay fast with that many. results.jsonl has all of them."""

LONGEST = 2000
"""Characters of one value, or of one text of evidence."""

WITH_CARD = (Outcome.FAIL, Outcome.ERROR, Outcome.WARN, Outcome.WAIVED, Outcome.KNOWN)

SYMBOLS: Mapping[Outcome | None, str] = {
    Outcome.FAIL: "✕",
    Outcome.ERROR: "?",
    Outcome.WARN: "!",
    Outcome.WAIVED: "w",
    Outcome.KNOWN: "k",
    Outcome.PASS: "✓",
    Outcome.SKIP: "–",  # noqa: RUF001 - as wide as the other symbols
    None: "",
}

_CODE_SPAN = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding, or the reason of an item without findings, as a row."""

    node: str
    outcome: Outcome
    name: str = ""
    expected: str = ""
    found: str = ""
    reason: str = ""
    rounds: int = 1
    evidence: str = ""
    standing: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One check that has findings or could not be checked."""

    check: CheckResults
    rows: tuple[FindingRow, ...]
    left_out: int
    following: dict[str, list[str]]
    """Checks whose failures likely follow from this one, with their nodes."""
    causes: list[str]
    """The checks from whose failures all of it likely follows."""


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the template shows."""

    results: Results
    tone: Outcome
    checks: list[CheckResults]
    map: NodeMap
    cards: dict[Outcome, list[Card]]
    carded: frozenset[str]
    """The checks that have a card."""
    unchecked: list[UncheckedNodes]
    changed: dict[str, list[str]]
    """Inconclusive objects that changed during the run, by check."""
    explained: dict[str, int]
    """The number of other inconclusive objects, by reason."""
    skipped: dict[str, dict[str, int]]
    """By check: the reasons why items were skipped, with the number of items."""
    counts: dict[Outcome, int]
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
    style, script = _asset("page.css"), _asset("page.js")
    # If a name from the cluster ever became a script, its digest would not match.
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{_digest(style)}'; "
        f"script-src 'sha256-{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    shown = {
        "page": page,
        "started": results.started,
        "ended": results.ended,
        "coverage": results.ended.coverage,
        "style": Markup(style),
        "script": Markup(script),
        "policy": policy,
        "embedded": embedded,
        "trends": trends,
    }
    return _environment().get_template(template).render(shown)


def _page(results: Results) -> Page:
    checks = by_check(results)
    cards = _cards(without_unchecked(checks), symptoms(results.items))
    unchecked = unchecked_nodes(results)
    named = {row.node for some in cards.values() for card in some for row in card.rows}
    named.update(node for each in unchecked for node in each.nodes)
    counts = {outcome: results.ended.counts.get(str(outcome), 0) for outcome in WORST_FIRST}
    return Page(
        results=results,
        tone=tone(results),
        checks=checks,
        map=node_map(checks),
        cards=cards,
        carded=frozenset(card.check.record.id for some in cards.values() for card in some),
        unchecked=unchecked,
        changed=_changed(checks),
        explained=results.ended.coverage.unjudged,
        skipped=_skipped(checks),
        counts=counts,
        nodes=sorted(named - {""}),
    )


def _cards(
    checks: Sequence[CheckResults], causes: Mapping[ItemKey, ItemKey]
) -> dict[Outcome, list[Card]]:
    """Cards by the check's worst outcome, with as many findings of each item as fit.

    Checks that are likely symptoms of others come last.
    """
    items = [item for check in checks for item in check.having(*WITH_CARD)]
    # Failures first, in case not even one finding of each item fits.
    items.sort(key=lambda item: WORST_FIRST.index(item.outcome))
    rows: dict[str, list[FindingRow]] = {}
    left_out: dict[str, int] = {check.record.id: 0 for check in checks}
    for item in items:
        left_out[item.check] += max(1, len(item.findings))
    for item, findings in first_findings(items, MOST_FINDINGS):
        some = rows.setdefault(item.check, [])
        if item.reason or not findings:
            some.append(
                FindingRow(item.node, item.outcome, reason=item.reason or "No reason was recorded.")
            )
        some += [
            FindingRow(
                node=item.node,
                outcome=_outcome(item, finding),
                name=sentences.object_name(finding),
                expected=finding.expected,
                found=finding.found,
                rounds=finding.looks,
                standing=standing_word(finding),
                evidence="\n".join(shortened(text, LONGEST) for text in finding.evidence),
            )
            for finding in findings
        ]
        left_out[item.check] -= max(1, len(findings))
    cards: dict[Outcome, list[Card]] = {outcome: [] for outcome in WORST_FIRST}
    for check in checks:
        if check.having(*WITH_CARD):
            shown = tuple(rows.get(check.record.id, ()))
            cards[check.outcome].append(
                Card(
                    check,
                    shown,
                    left_out[check.record.id],
                    symptoms_of(check, causes),
                    causes_of(check, causes),
                )
            )
    return {
        outcome: sorted(some, key=lambda card: bool(card.causes)) for outcome, some in cards.items()
    }


def _outcome(item: ItemResult, finding: FindingRecord) -> Outcome:
    """The outcome that a finding is shown with: accepted findings are not shown as failing."""
    if finding.standing in ("known", "waived"):
        return Outcome(finding.standing)
    accepted = item.outcome in (Outcome.WAIVED, Outcome.KNOWN)
    return item.outcome if accepted else Outcome(finding.level.value)


def _changed(checks: Iterable[CheckResults]) -> dict[str, list[str]]:
    names = {
        check.record.id: sorted({name for item in check.items for name in item.undecided})
        for check in checks
    }
    return {identity: some for identity, some in names.items() if some}


def _skipped(checks: Iterable[CheckResults]) -> dict[str, dict[str, int]]:
    reasons = {
        check.record.id: total(
            {item.reason or "No reason was recorded.": 1}
            for item in check.having(Outcome.SKIP)
            if check.record.id != REACHABLE
        )
        for check in checks
    }
    return {identity: some for identity, some in reasons.items() if some}


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Every value may come from the cluster, unless it is marked as our own markup.
        finalize=_finalized,
    )
    environment.filters |= {
        "lines": lambda text: "\n".join(harmless_lines(text)),
        "cut": lambda text: shortened(text, LONGEST),
        "with_code": _with_code,
        "plural": plural,
        "listed": listed,
        "duration": duration,
        "moment": moment,
        "thousands": "{:,}".format,
    }
    environment.globals |= {
        "symbols": SYMBOLS,
        "words": sentences.OUTCOME_WORDS,
        "Outcome": Outcome,
        "coverage_sentence": sentences.coverage_sentence,
        "comparison_sentence": comparison_sentence,
        "past_sentence": past_sentence,
        "waiver_sentence": waiver_sentence,
        "wait_sentence": wait_sentence,
        "healing_sentences": healing_sentences,
        "cluster_sentence": sentences.cluster_sentence,
    }
    return environment


def _with_code(text: str) -> Markup:
    """The text with its `code` spans as elements. Everything else stays text, escaped."""
    # Every second part was between two backticks. A backtick without a partner stays.
    parts = [escape(part) for part in _CODE_SPAN.split(harmless(text))]
    parts[1::2] = [Markup("<code>{}</code>").format(part) for part in parts[1::2]]
    return Markup().join(parts)


def _finalized(value: object) -> object:
    if isinstance(value, str) and not isinstance(value, Markup):
        # Evidence keeps its line breaks.
        return harmless(value) if "\n" not in value else "\n".join(harmless_lines(value))
    return value


@functools.cache
def _asset(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
