"""The cases of `junit.xml`, one for each check, and the text of each.

A case has the same name in every run, so that pipelines can tell new failures from old ones. Its
text says on which nodes the check fails, and what was found there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.comparison import standing_word
from wirecheck.report.sentences import (
    OUTCOME_WORDS,
    coverage_sentence,
    following_sentence,
    inspect_command,
    object_name,
    since_words,
)
from wirecheck.results.causes import symptoms
from wirecheck.results.ordering import (
    ACCEPTED,
    FAILING,
    CheckResults,
    by_check,
    causes_first,
    causes_of,
    checked_nothing,
    is_spared,
    tone,
    total,
)
from wirecheck.results.records import FindingRecord, ItemResult, Results, RunStarted
from wirecheck.results.tally import tally_of
from wirecheck.text import listed, middle_cut, middle_shortened, plural, shortened

Mark = Literal["", "failure", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class Detail:
    """How much is shown: findings of a node, lines of evidence of a finding, nodes of a check.

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
    """Every case of the run, the worst first, and root causes before their symptoms."""
    counted = tally_of(results).outcomes
    causes = symptoms(results.items)
    checks = causes_first(by_check(_without_spared(results)), causes)
    found = [
        _check_case(check, causes_of(check, causes), results, detail)
        for check in checks
        if check.record.id in counted
    ]
    yield from _run_cases(results, has_errors=any(case.mark == "error" for case in found))
    yield from found


def _without_spared(results: Results) -> Results:
    """The results with accepted missing nodes as skipped: JUnit has no other word for it."""
    items = [
        replace(item, outcome=Outcome.SKIP, reason=f"{SPARED}: {_message(item, _BRIEF)}")
        if item.outcome is Outcome.ERROR and is_spared(item, results.ended.spared)
        else item
        for item in results.items
    ]
    return replace(results, items=items)


def _run_cases(results: Results, *, has_errors: bool) -> Iterator[Case]:
    """Cases for runs that checked nothing, or not everything: a pipeline must not be green then.

    `has_errors` is whether the case of a check already says that not everything was checked.
    """
    ended = results.ended
    if checked_nothing(results):
        yield Case(
            "run",
            "checked_the_cluster",
            "failure",
            f"Nothing could be checked: {ended.verdict}",
            "\n".join([f"{coverage_sentence(ended.coverage)}.", *results.started.notes]),
        )
    elif ended.interrupted or (
        ended.status > 1 and tone(results) is not Outcome.FAIL and not has_errors
    ):
        yield Case(
            "run",
            "checked_everything",
            "error",
            f"Not everything was checked: {ended.verdict}",
            f"{coverage_sentence(ended.coverage)}.",
        )


def _check_case(
    check: CheckResults, causes: Sequence[str], results: Results, detail: Detail
) -> Case:
    mark = _mark(check.outcome)
    notes = _notes(check.items, detail)
    if mark in ("failure", "error"):
        shown = sorted(check.having(*FAILING), key=lambda item: item.outcome is not check.outcome)
        about = [_about(check, results), following_sentence(causes)]
        lines = [
            check.record.sentence,
            *filter(None, about),
            *_of_items(shown, results.started, detail),
            *notes,
            *_advice(check),
        ]
        # A check without items of its own only repeats that no node was visited.
        first = _message(shown[0], detail) if shown else check.record.sentence
        message = ". ".join(filter(None, [_summary(check), first]))
        return Case(check.group, check.name, mark, message, "\n".join(lines))
    if mark == "skipped":
        return Case(check.group, check.name, mark, _why_skipped(check, detail))
    warned = check.having(Outcome.FLAKY, Outcome.WARN)
    output = [*_of_items(warned, results.started, detail), *_advice(check)] if warned else []
    if check.folded:
        notes.insert(0, f"{plural(len(check.folded), 'node')} not checked: see nodes.reachable.")
    return Case(check.group, check.name, output="\n".join([*output, *notes]))


def _about(check: CheckResults, results: Results) -> str:
    """`Failed on 2 of 240 nodes (w1, w2); 3 nodes not checked. Cluster prod.`."""
    summary = _summary(check)
    name = results.started.cluster.name
    sentences = (f"{summary}." if summary else "", f"Cluster {name}." if name else "")
    return " ".join(filter(None, sentences))


def _of_items(items: Sequence[ItemResult], started: RunStarted, detail: Detail) -> Iterator[str]:
    """The findings of the items, node by node, and how many nodes are left out."""
    for item in items[: detail.nodes]:
        yield ""
        yield from _item_lines(item, _on(item.node), started, detail)
    if rest := items[detail.nodes :]:
        yield ""
        yield (
            f"The findings of {plural(len(rest), 'more node')} are left out, because there are "
            "too many; see report.html and results.jsonl."
        )


def _why_skipped(check: CheckResults, detail: Detail) -> str:
    """Why the case is marked as skipped; for accepted failures also what fails."""
    if check.outcome is Outcome.SKIP:
        return _reasons(check, detail) or "no reason was recorded"
    accepted = check.having(check.outcome)
    texts = [_excuse(item, detail) for item in accepted[: max(1, detail.nodes)][:5]]
    return "; ".join([_summary(check), *texts] if accepted[0].node else texts)


def _excuse(item: ItemResult, detail: Detail) -> str:
    """What fails and is accepted, and why."""
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


def _summary(check: CheckResults) -> str:
    """`Failed on 2 of 240 nodes (w1, w2); 3 nodes not checked`; empty without nodes."""
    nodes = len({item.node for item in (*check.items, *check.folded)} - {""})
    parts = []
    for outcome in (Outcome.FAIL, Outcome.ERROR, Outcome.WAIVED, Outcome.KNOWN, Outcome.SKIP):
        names = list(dict.fromkeys(item.node for item in check.having(outcome) if item.node))
        if names:
            where = f"{len(names):,} of {plural(nodes, 'node')} ({listed(names, 5)})"
            parts.append(f"{OUTCOME_WORDS[outcome]} on {where}")
    if check.folded:
        parts.append(f"{plural(len(check.folded), 'node')} not checked")
    summary = "; ".join(parts)
    return f"{summary[:1].upper()}{summary[1:]}"


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


def _item_lines(item: ItemResult, where: str, started: RunStarted, detail: Detail) -> Iterator[str]:
    if where:
        yield where
    if item.reason:
        yield f"{'Also: ' if item.findings else ''}{item.reason}"
    for finding in sorted(item.findings, key=lambda f: f.standing in ACCEPTED)[: detail.findings]:
        yield ""
        yield from _finding(finding, started, detail)
    rest = len(item.findings) - detail.findings
    if rest > 0:
        yield ""
        yield f"… and {rest:,} more, in report.html and results.jsonl."


def _finding(finding: FindingRecord, started: RunStarted, detail: Detail) -> Iterator[str]:
    word = standing_word(finding)
    yield f"{finding.level}{f' ({word})' if word else ''}: {object_name(finding)}"
    yield f"  expected: {shortened(finding.expected, detail.text)}"
    yield f"  found:    {shortened(finding.found, detail.text)}"
    if words := since_words(finding):
        yield f"  {words}"
    if finding.looks > 1:
        yield f"  identical in {finding.looks} rounds"
    lines = [line for text in finding.evidence for line in text.split("\n")]
    # One line at least: the last one is the rule that decides.
    for line in middle_cut(lines, max(1, detail.evidence)):
        yield f"  evidence: {middle_shortened(line, detail.text)}"
    if command := inspect_command(finding, started):
        yield f"  inspect:  {command}"


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
