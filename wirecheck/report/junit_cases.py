"""The cases of `junit.xml`, and the text of each.

The case of a check has the same name in every run, so that pipelines can tell new failures from
old ones; the cases of nodes say where.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.comparison import standing_word
from wirecheck.report.sentences import OUTCOME_WORDS, coverage_sentence, object_name
from wirecheck.results.ordering import (
    ACCEPTED,
    FAILING,
    CheckResults,
    by_check,
    checked_nothing,
    is_spared,
    tone,
    total,
)
from wirecheck.results.records import FindingRecord, ItemResult, Results
from wirecheck.text import listed, plural, shortened

Mark = Literal["", "failure", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class Detail:
    """How much is shown: findings of a case, lines of evidence of a finding, nodes of a check.

    `text` is the length at which a value is truncated.
    """

    findings: int
    evidence: int
    nodes: int
    text: int


SPARED = "not checked, which thresholds.unreachable accepts"
_BRIEF = Detail(findings=1, evidence=0, nodes=0, text=300)


@dataclass(frozen=True, slots=True)
class Case:
    """A `testcase`: the mark that makes it fail or be skipped, and its texts."""

    group: str
    name: str
    mark: Mark = ""
    message: str = ""
    body: str = ""
    output: str = ""


def cases(results: Results, detail: Detail) -> Iterator[Case]:
    """Every case of the run, in the catalogue's order."""
    yield from _run_cases(results)
    for check in by_check(_without_spared(results)):
        yield _check_case(check, detail)
        if not _is_one_item(check):
            yield from _node_cases(check, results, detail)


def _without_spared(results: Results) -> Results:
    """The results with accepted missing nodes as skipped: JUnit has no other word for it."""
    items = [
        replace(item, outcome=Outcome.SKIP, reason=f"{SPARED}: {_message(item, _BRIEF)}")
        if item.outcome is Outcome.ERROR and is_spared(results, item)
        else item
        for item in results.items
    ]
    return replace(results, items=items)


def _run_cases(results: Results) -> Iterator[Case]:
    """Cases for runs that checked nothing, or not everything: a pipeline must not be green then."""
    ended = results.ended
    if checked_nothing(results):
        yield Case(
            "run",
            "checked_the_cluster",
            "failure",
            f"Nothing could be checked: {ended.verdict}",
            "\n".join([f"{coverage_sentence(ended.coverage)}.", *results.started.notes]),
        )
    elif ended.interrupted or (ended.status > 1 and tone(results) is not Outcome.FAIL):
        yield Case(
            "run",
            "checked_everything",
            "error",
            f"Not everything was checked: {ended.verdict}",
            f"{coverage_sentence(ended.coverage)}.",
        )


def _is_one_item(check: CheckResults) -> bool:
    """Whether the check is about the cluster, so that one case is enough."""
    return len(check.items) == 1 and not check.items[0].node


def _check_case(check: CheckResults, detail: Detail) -> Case:
    if _is_one_item(check):
        return _item_case(check, check.items[0], check.name, "", detail)
    outcome = check.outcome
    if outcome in (Outcome.WAIVED, Outcome.KNOWN) and check.having(Outcome.PASS):
        # The nodes' own cases show as skipped. On the other nodes the check passed.
        outcome = Outcome.PASS
    summary = _summary(check, detail)
    mark = _mark(outcome)
    notes = _notes(check.items, detail)
    if mark in ("failure", "error"):
        where = f"{summary}: {check.record.sentence}"
        body = [f"{check.record.sentence}", "", f"{summary}.", *notes, *_advice(check)]
        return Case(check.group, check.name, mark, where, "\n".join(body))
    if mark == "skipped":
        return Case(check.group, check.name, mark, _reasons(check, detail) or summary)
    warned = [
        line
        for item in check.having(Outcome.WARN)[: detail.findings]
        for line in _item_lines(item, _on(item.node), detail)
    ]
    output = [*warned, *_advice(check)] if warned else []
    if check.folded:
        notes.insert(0, f"{plural(len(check.folded), 'node')} not checked: see nodes.reachable.")
    return Case(check.group, check.name, output="\n".join([*output, *notes]))


def _node_cases(check: CheckResults, results: Results, detail: Detail) -> Iterator[Case]:
    shown = check.having(Outcome.FAIL, Outcome.ERROR, Outcome.WAIVED, Outcome.KNOWN)
    cluster = f", cluster {results.started.cluster.name}" if results.started.cluster.name else ""
    seen: Counter[str] = Counter()
    for item in sorted(shown, key=lambda item: item.outcome not in FAILING)[: detail.nodes]:
        node = item.node or "cluster"
        seen[node] += 1
        again = f" {seen[node]}" if seen[node] > 1 else ""
        name = f"{check.name}[{node}{again}]"
        yield _item_case(check, item, name, f"Node {node}{cluster}.", detail)


def _item_case(
    check: CheckResults, item: ItemResult, name: str, where: str, detail: Detail
) -> Case:
    mark = _mark(item.outcome)
    notes = _notes([item], detail)
    lines = _item_lines(item, where, detail)
    if mark in ("failure", "error"):
        text = [check.record.sentence, *lines, *notes, *_advice(check)]
        return Case(check.group, name, mark, _message(item, detail), "\n".join(text))
    if mark == "skipped":
        return Case(check.group, name, mark, _excuse(item, detail))
    output = [*lines, *_advice(check)] if item.findings else []
    return Case(check.group, name, output="\n".join([*output, *notes]))


def _excuse(item: ItemResult, detail: Detail) -> str:
    """Why the item is marked as skipped; for an accepted failure also what fails."""
    if item.outcome is Outcome.SKIP:
        return item.reason or "no reason was recorded"
    reason = f" ({item.reason})" if item.reason and item.findings else ""
    return f"{OUTCOME_WORDS[item.outcome]}{reason}: {_message(item, detail)}"


def _mark(outcome: Outcome) -> Mark:
    match outcome:
        case Outcome.FAIL:
            return "failure"
        case Outcome.ERROR:
            return "error"
        case Outcome.SKIP | Outcome.WAIVED | Outcome.KNOWN:
            return "skipped"
    return ""


def _summary(check: CheckResults, detail: Detail) -> str:
    """`failed on 2 of 240 nodes (w1, w2); 3 nodes not checked`."""
    nodes = len(check.items) + len(check.folded)
    parts = []
    for outcome in (Outcome.FAIL, Outcome.ERROR, Outcome.WAIVED, Outcome.KNOWN, Outcome.SKIP):
        names = [item.node or "the cluster" for item in check.having(outcome)]
        if names:
            where = f"{len(names):,} of {plural(nodes, 'node')} ({listed(names, 5)})"
            parts.append(f"{OUTCOME_WORDS[outcome]} on {where}")
    if check.folded:
        parts.append(f"{plural(len(check.folded), 'node')} not checked")
    failing = len(check.having(*FAILING))
    if failing > detail.nodes:
        parts.append(
            f"{failing - detail.nodes:,} of these have no case of their own here, because there "
            "are too many; see report.html and results.jsonl"
        )
    return "; ".join(parts)


def _reasons(check: CheckResults, detail: Detail) -> str:
    """Why the check applied nowhere: the most frequent reasons, with the number of nodes."""
    counted = Counter(item.reason for item in (*check.items, *check.folded) if item.reason)
    return "; ".join(
        f"{reason} ({plural(number, 'node')})"
        for reason, number in counted.most_common(max(detail.nodes, 1))[:5]
    )


def _message(item: ItemResult, detail: Detail) -> str:
    """One line with the first finding, and the number of further ones."""
    where = f"{item.node}: " if item.node else ""
    if not item.findings:
        return f"{where}{item.reason or 'no reason was recorded'}"
    # The item does not fail because of an accepted finding.
    first = min(item.findings, key=lambda finding: finding.standing in ACCEPTED)
    more = f" (and {len(item.findings) - 1:,} more)" if len(item.findings) > 1 else ""
    expected, found = (shortened(text, detail.text) for text in (first.expected, first.found))
    return f"{where}{object_name(first)}: expected {expected}, found {found}{more}"


def _item_lines(item: ItemResult, where: str, detail: Detail) -> Iterator[str]:
    if where:
        yield where
    if item.reason:
        yield f"{'Also: ' if item.findings else ''}{item.reason}"
    for finding in sorted(item.findings, key=lambda f: f.standing in ACCEPTED)[: detail.findings]:
        yield ""
        yield from _finding(finding, detail)
    rest = len(item.findings) - detail.findings
    if rest > 0:
        yield ""
        yield f"… and {rest:,} more, in report.html and results.jsonl."


def _finding(finding: FindingRecord, detail: Detail) -> Iterator[str]:
    word = standing_word(finding)
    yield f"{finding.level}{f' ({word})' if word else ''}: {object_name(finding)}"
    yield f"  expected: {shortened(finding.expected, detail.text)}"
    yield f"  found:    {shortened(finding.found, detail.text)}"
    if finding.looks > 1:
        yield f"  identical in {finding.looks} rounds"
    lines = [line for text in finding.evidence for line in text.split("\n")]
    for line in lines[: detail.evidence]:
        yield f"  evidence: {shortened(line, detail.text)}"
    if lines[detail.evidence :]:
        yield f"  evidence: {plural(len(lines) - detail.evidence, 'more line')}"


def _notes(items: Sequence[ItemResult], detail: Detail) -> list[str]:
    """The objects that the verdict does not cover."""
    undecided = sorted({name for item in items for name in item.undecided})
    notes = []
    if undecided:
        names = listed(undecided, detail.findings)
        notes.append(f"Inconclusive, because they changed during the run: {names}.")
    notes += [
        f"Inconclusive: {plural(number, 'object')} ({reason})."
        for reason, number in list(total(item.unjudged for item in items).items())[:20]
    ]
    return notes


def _advice(check: CheckResults) -> Iterator[str]:
    yield ""
    if check.record.why:
        yield f"Why it matters: {check.record.why}"
    if check.next_step:
        yield f"Next: {check.next_step}"
    yield f"More: wirecheck explain {check.record.id}"


def _on(node: str) -> str:
    return f"On {node}:" if node else ""
