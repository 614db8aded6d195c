"""A summary in Markdown, as GitHub shows it for a job: the verdict, what fails, what is new.

Names come from the cluster. Characters with a meaning in Markdown or HTML are written as character
references, which every renderer shows as the plain character.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.comparison import comparison_sentence, past_sentence, standing_word
from wirecheck.report.gates import (
    healing_sentences,
    wait_sentence,
    waiver_sentence,
    waivers_needing_attention,
)
from wirecheck.report.sentences import (
    OUTCOME_WORDS,
    cluster_sentence,
    following_sentence,
    inspect_command,
    object_name,
    run_sentence,
    since_words,
)
from wirecheck.results.causes import ItemKey, symptoms
from wirecheck.results.ordering import (
    FAILING,
    CheckResults,
    by_check,
    causes_first,
    causes_of,
    first_findings,
    tone,
    unchecked_nodes,
)
from wirecheck.results.records import FindingRecord, ItemResult, Results
from wirecheck.results.tally import tally_of
from wirecheck.text import harmless, listed, moment, plural, shortened

LARGEST = 60_000
"""Bytes. GitHub drops all summaries of a step above 1,024 kB, and other tools add to them."""

MOST_FINDINGS = 50
MOST_LINES = 20
LONGEST = 300

MARKUP = r"[\\`*{}\[\]<>#|~&@$]|(?<!\w)_|_(?!\w)"
"""An underscore within a word has no meaning in Markdown."""

SIGNS = {
    Outcome.PASS: "✅",
    Outcome.FLAKY: "⚠️",
    Outcome.WARN: "⚠️",
    Outcome.FAIL: "❌",
    Outcome.ERROR: "❓",
}
SHOWN = (Outcome.FAIL, Outcome.ERROR, Outcome.WARN, Outcome.WAIVED, Outcome.KNOWN)


def render(results: Results) -> str:
    """The complete summary, with as many findings as fit."""
    for most in (MOST_FINDINGS, 20, 5, 1):
        text = "\n".join(_lines(results, most)) + "\n"
        if len(text.encode()) <= LARGEST:
            return text
    head = "\n".join(_head(results)) + "\n"
    return f"{head}\n_There are too many findings for a summary; see the report._\n"


def safe(text: str) -> str:
    """One line that every Markdown renderer shows literally."""
    text = re.sub(MARKUP, lambda found: f"&#{ord(found[0])};", harmless(text))
    # Renderers make links of addresses.
    return text.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")


def _lines(results: Results, most: int) -> Iterator[str]:
    causes = symptoms(results.items)
    checks = causes_first(by_check(results), causes)
    yield from _head(results)
    yield from _table(results, checks)
    yield from _findings(results, checks, causes, most, FAILING)
    yield from _findings(results, checks, causes, most, {Outcome.FLAKY})
    yield from _unchecked(results)
    comparison, wait = results.comparison, results.ended.wait
    if comparison:
        yield from _list(f"{comparison_sentence(comparison)}.", [])
        yield from _list("Fixed", [past_sentence(each) for each in comparison.fixed])
        yield from _list("Not checked again", [past_sentence(each) for each in comparison.unseen])
    yield from _list(
        "Waivers that need attention",
        [waiver_sentence(each) for each in waivers_needing_attention(results.ended)],
    )
    if wait:
        yield from _list(f"{wait_sentence(wait)}.", healing_sentences(wait))


def _head(results: Results) -> Iterator[str]:
    started, ended = results.started, results.ended
    yield f"## {SIGNS.get(tone(results), '')} {safe(ended.verdict)}"
    yield ""
    yield f"{safe(cluster_sentence(started.cluster))}, {safe(moment(started.time))}."
    yield f"{safe(run_sentence(ended))}."
    for note in started.notes[:MOST_LINES]:
        yield f"{safe(shortened(note, LONGEST))}"
    yield ""


def _table(results: Results, checks: Sequence[CheckResults]) -> Iterator[str]:
    """The checks that do not pass everywhere, with the number of nodes by outcome."""
    is_flaky = any(check.having(Outcome.FLAKY) for check in checks)
    shown = (*SHOWN[:2], Outcome.FLAKY, *SHOWN[2:]) if is_flaky else SHOWN
    rows = [check for check in checks if check.having(*shown)]
    if rows:
        words = " | ".join(OUTCOME_WORDS[outcome] for outcome in shown)
        yield f"| check, on how many nodes it | {words} |"
        yield f"|---|{'---:|' * len(shown)}"
        for check in rows:
            numbers = (len(check.having(outcome)) for outcome in shown)
            cells = " | ".join(f"{number:,}" if number else "" for number in numbers)
            yield f"| {safe(check.record.id)} | {cells} |"
        yield ""
    yield f"{tally_of(results).phrase(Outcome.PASS)}."
    yield ""


def _findings(
    results: Results,
    checks: Sequence[CheckResults],
    causes: Mapping[ItemKey, ItemKey],
    most: int,
    outcomes: Collection[Outcome],
) -> Iterator[str]:
    failing = [check for check in checks if check.having(*outcomes)]
    items = [item for check in failing for item in check.having(*outcomes)]
    shown = {id(item): findings for item, findings in first_findings(items, most)}
    for check in failing:
        yield f"### {safe(check.record.id)}"
        yield ""
        yield safe(check.record.sentence)
        if following := following_sentence(causes_of(check, causes)):
            yield safe(following)
        yield ""
        some = [item for item in check.having(*outcomes) if id(item) in shown]
        for item in some:
            yield from _item(item, shown[id(item)])
        left = len(check.having(*outcomes)) - len(some)
        if left:
            yield f"- … and on {plural(left, 'more node')}"
        if check.next_step:
            yield ""
            yield f"Next: {safe(check.next_step)}"
        findings = (each for item in some for each in shown[id(item)])
        commands = (inspect_command(each, results.started) for each in findings)
        if command := next(filter(None, commands), ""):
            yield ""
            yield f"Inspect: {safe(command)}"
        yield ""


def _item(item: ItemResult, findings: Sequence[FindingRecord]) -> Iterator[str]:
    where = f"{safe(item.node)}: " if item.node else ""
    if item.reason:
        yield f"- {where}{safe(shortened(item.reason, LONGEST))}"
    for finding in findings:
        word, since = standing_word(finding), safe(since_words(finding))
        expected, found = (
            safe(shortened(text, LONGEST)) for text in (finding.expected, finding.found)
        )
        yield (
            f"- {where}{f'({word}) ' if word else ''}**{safe(object_name(finding))}**: "
            f"expected {expected}; found {found}{f', {since}' if since else ''}"
        )
    if len(item.findings) > len(findings):
        yield f"- {where}… and {len(item.findings) - len(findings):,} more, in the report"


def _unchecked(results: Results) -> Iterator[str]:
    yield from _list(
        "Not checked",
        [f"{listed(each.nodes, 5)}: {each.reason}" for each in unchecked_nodes(results)],
    )


def _list(title: str, lines: Sequence[str]) -> Iterator[str]:
    if not lines and not title.endswith("."):
        return
    yield safe(title) if title.endswith(".") else f"### {title}"
    yield ""
    for line in lines[:MOST_LINES]:
        yield f"- {safe(shortened(line, LONGEST))}"
    if lines[MOST_LINES:]:
        yield f"- … and {len(lines) - MOST_LINES:,} more"
    yield ""
