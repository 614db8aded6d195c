"""`report.html`: the run on one page, in one file, that needs no network and no script to be read.

What is wrong comes first, what was not looked at is shown as plainly, what holds is folded away.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from wirecheck.catalogue.findings import Outcome
from wirecheck.report import sentences
from wirecheck.report.comparison import comparison_sentence, past_sentence, standing_word
from wirecheck.report.gates import healing_sentences, wait_sentence, waiver_sentence
from wirecheck.report.node_map import NodeMap, node_map
from wirecheck.report.trend import Trends
from wirecheck.results.causes import Place, symptoms
from wirecheck.results.ordering import (
    REACHABLE,
    WORST_FIRST,
    CheckResults,
    Unseen,
    by_check,
    causes_of,
    following,
    shares,
    tone,
    total,
    unseen_nodes,
    without_unseen,
)
from wirecheck.results.records import FindingRecord, ItemResult, Results
from wirecheck.text import duration, harmless, harmless_lines, listed, moment, plural, shortened

MOST_ENTRIES = 4000
"""Findings on the page; a browser is quick with so many. All of them are in results.jsonl."""

LONGEST = 2000
"""Characters of one value, or of one piece of evidence."""

TELLING = (Outcome.FAIL, Outcome.ERROR, Outcome.WARN, Outcome.WAIVED, Outcome.KNOWN)

SYMBOLS: Mapping[Outcome | None, str] = {
    Outcome.FAIL: "✕",
    Outcome.ERROR: "?",
    Outcome.WARN: "!",
    Outcome.WAIVED: "w",
    Outcome.KNOWN: "k",
    Outcome.PASS: "✓",
    Outcome.SKIP: "–",  # noqa: RUF001 - a dash as wide as the other symbols
    None: "",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One finding as a row, or why an item has none."""

    node: str
    outcome: Outcome
    name: str = ""
    expected: str = ""
    found: str = ""
    reason: str = ""
    looks: int = 1
    evidence: str = ""
    standing: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One check of which there is something to tell."""

    check: CheckResults
    entries: tuple[Entry, ...]
    left_out: int
    following: dict[str, list[str]]
    """What likely follows from it: checks, and the nodes."""
    causes: list[str]
    """The checks from which all of it likely follows."""


@dataclass(frozen=True, slots=True)
class Page:
    """All that the template shows."""

    results: Results
    tone: Outcome
    checks: list[CheckResults]
    map: NodeMap
    cards: dict[Outcome, list[Card]]
    told: frozenset[str]
    """The checks that have a card."""
    unseen: list[Unseen]
    undecided: dict[str, list[str]]
    unjudged: dict[str, int]
    skipped: dict[str, dict[str, int]]
    """Reasons of skipped items by check, with their number."""
    counts: dict[Outcome, int]
    nodes: list[str]
    """The nodes that something is told about."""


def render(results: Results, trends: Trends | None = None) -> str:
    """The whole page, with how the cluster was in earlier runs if that is known."""
    return _rendered("page.html.j2", results, trends, embedded=False)


def render_fragment(results: Results) -> str:
    """The page's content, to be put into another page; its style stays within it."""
    return _rendered("page_content.html.j2", results, None, embedded=True)


def _rendered(template: str, results: Results, trends: Trends | None, *, embedded: bool) -> str:
    page = _page(results)
    style, script = _asset("page.css"), _asset("page.js")
    # Should a name from the cluster ever get through as a script, its digest is not this one.
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
    cards = _cards(without_unseen(checks), symptoms(results.items))
    unseen = unseen_nodes(results)
    named = {entry.node for some in cards.values() for card in some for entry in card.entries}
    named.update(node for each in unseen for node in each.nodes)
    counts = {outcome: results.ended.counts.get(str(outcome), 0) for outcome in WORST_FIRST}
    return Page(
        results=results,
        tone=tone(results),
        checks=checks,
        map=node_map(checks),
        cards=cards,
        told=frozenset(card.check.record.id for some in cards.values() for card in some),
        unseen=unseen,
        undecided=_undecided(checks),
        unjudged=results.ended.coverage.unjudged,
        skipped=_skipped(checks),
        counts=counts,
        nodes=sorted(named - {""}),
    )


def _cards(
    checks: Sequence[CheckResults], causes: Mapping[Place, Place]
) -> dict[Outcome, list[Card]]:
    """Cards by the check's worst outcome, with as many findings of each item as fit.

    What likely follows from something else comes after what does not.
    """
    items = [item for check in checks for item in check.having(*TELLING)]
    # Whatever fails comes first, should even one finding of each item be too much.
    items.sort(key=lambda item: WORST_FIRST.index(item.outcome))
    entries: dict[str, list[Entry]] = {}
    left_out: dict[str, int] = {check.record.id: 0 for check in checks}
    for item in items:
        left_out[item.check] += max(1, len(item.findings))
    for item, findings in shares(items, MOST_ENTRIES):
        some = entries.setdefault(item.check, [])
        if item.reason or not findings:
            some.append(Entry(item.node, item.outcome, reason=item.reason or "No reason is known."))
        some += [
            Entry(
                node=item.node,
                outcome=_outcome(item, finding),
                name=sentences.object_name(finding),
                expected=finding.expected,
                found=finding.found,
                looks=finding.looks,
                standing=standing_word(finding),
                evidence="\n".join(shortened(text, LONGEST) for text in finding.evidence),
            )
            for finding in findings
        ]
        left_out[item.check] -= max(1, len(findings))
    cards: dict[Outcome, list[Card]] = {outcome: [] for outcome in WORST_FIRST}
    for check in checks:
        if check.having(*TELLING):
            told = tuple(entries.get(check.record.id, ()))
            cards[check.outcome].append(
                Card(
                    check,
                    told,
                    left_out[check.record.id],
                    following(check, causes),
                    causes_of(check, causes),
                )
            )
    return {
        outcome: sorted(some, key=lambda card: bool(card.causes)) for outcome, some in cards.items()
    }


def _outcome(item: ItemResult, finding: FindingRecord) -> Outcome:
    """A finding's own level, but that what was accepted is not shown as red."""
    if finding.standing in ("known", "waived"):
        return Outcome(finding.standing)
    accepted = item.outcome in (Outcome.WAIVED, Outcome.KNOWN)
    return item.outcome if accepted else Outcome(finding.level.value)


def _undecided(checks: Iterable[CheckResults]) -> dict[str, list[str]]:
    said = {
        check.record.id: sorted({name for item in check.items for name in item.undecided})
        for check in checks
    }
    return {identity: names for identity, names in said.items() if names}


def _skipped(checks: Iterable[CheckResults]) -> dict[str, dict[str, int]]:
    said = {
        check.record.id: total(
            {item.reason or "No reason is known.": 1}
            for item in check.having(Outcome.SKIP)
            if check.record.id != REACHABLE
        )
        for check in checks
    }
    return {identity: reasons for identity, reasons in said.items() if reasons}


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Whatever is printed comes from the cluster, unless it is marked as our own.
        finalize=_finalized,
    )
    environment.filters |= {
        "lines": lambda text: "\n".join(harmless_lines(text)),
        "cut": lambda text: shortened(text, LONGEST),
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


def _finalized(value: object) -> object:
    if isinstance(value, str) and not isinstance(value, Markup):
        # Lines of evidence were made harmless one by one, and keep their breaks.
        return harmless(value) if "\n" not in value else "\n".join(harmless_lines(value))
    return value


@functools.cache
def _asset(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
