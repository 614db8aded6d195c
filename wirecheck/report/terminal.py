"""The last screen of a run: what is wrong and what to do, what was not seen, the verdict last."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.comparison import comparison_sentence, past_sentence, standing_word
from wirecheck.report.gates import (
    healing_sentences,
    wait_sentence,
    waiver_sentence,
    waivers_to_tell,
)
from wirecheck.report.sentences import (
    OUTCOME_WORDS,
    cluster_sentence,
    coverage_sentence,
    object_name,
)
from wirecheck.results.causes import Place, symptoms
from wirecheck.results.ordering import (
    REACHABLE,
    RED,
    CheckResults,
    Unseen,
    by_check,
    following,
    most_each,
    tone,
    unseen_nodes,
    without_symptoms,
    without_unseen,
)
from wirecheck.results.records import FindingRecord, ItemResult, Results
from wirecheck.text import duration, harmless, listed, moment, plural, shortened

MOST_FINDINGS = 20
MOST_CHECKS = 10
MOST_NODES = 10
LONGEST = 400

STYLES = {
    Outcome.FAIL: "bold red",
    Outcome.ERROR: "bold magenta",
    Outcome.WARN: "bold yellow",
    Outcome.PASS: "bold green",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line before it is broken at words: a styled head, and the rest."""

    text: str = ""
    head: str = ""
    style: str = ""
    indent: int = 0


def show(results: Results, console: Console, report: Path | None = None) -> None:
    """Print the screen. `report` is where the whole report was written to."""
    for line in _screen(results, report):
        _print(line, console)


def _print(line: Line, console: Console) -> None:
    """On a terminal broken at words, with a hanging indent; elsewhere one line, easy to grep."""
    text = harmless(f"{line.head}{line.text}")
    # A terminal that is not UTF-8 gets escapes instead of an exception.
    encoded = text.encode(console.encoding, "backslashreplace").decode(console.encoding)
    margin = " " * line.indent
    pieces = [margin + encoded]
    if console.is_terminal:
        pieces = textwrap.wrap(
            encoded,
            console.width,
            initial_indent=margin,
            subsequent_indent=margin + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    for number, piece in enumerate(pieces):
        styled = Text(piece)
        if number == 0 and line.style:
            styled.stylize(line.style, line.indent, line.indent + len(line.head))
        console.print(styled, soft_wrap=True)


def _screen(results: Results, report: Path | None) -> Iterator[Line]:
    started = results.started
    checks = without_unseen(by_check(results))
    unseen = unseen_nodes(results)
    yield Line(
        f": {cluster_sentence(started.cluster)}, {moment(started.time)}",
        head=f"wirecheck {started.wirecheck}",
        style="bold",
    )
    yield from (Line(f"Note: {note}") for note in started.notes)
    doubts = results.comparison.doubts if results.comparison else []
    yield from (Line(f"Doubtful baseline: {doubt}") for doubt in doubts)
    yield from (Line(f"Changed: {o.name} was {o.was}, now {o.now}") for o in started.overrides)
    causes = symptoms(results.items)
    told = [without_symptoms(check, causes) for check in checks]
    yield from _red(told, causes)
    yield from _unseen(unseen, results)
    yield from _warnings(told)
    yield from _accepted(checks)
    yield from _gates(results)
    yield from _compared(results)
    yield from _not_judged(checks, results.ended.coverage.unjudged)
    yield from _held(by_check(results))
    yield from _end(results, report)


def _red(checks: Sequence[CheckResults], causes: Mapping[Place, Place]) -> Iterator[Line]:
    """Checks that failed, then those that could not be judged, with a fair share of findings."""
    red = sorted(
        (check for check in checks if check.having(*RED)),
        key=lambda check: check.outcome is not Outcome.FAIL,
    )
    sizes = [sum(max(1, len(item.findings)) for item in check.having(*RED)) for check in red]
    each = most_each(sizes, MOST_FINDINGS)
    for check in red[:MOST_CHECKS]:
        yield from _red_check(check, each)
        yield from _symptoms(check, causes)
    if red[MOST_CHECKS:]:
        rest = [check.record.id for check in red[MOST_CHECKS:]]
        yield Line()
        yield Line(f"And {plural(len(rest), 'more check')}: {listed(rest, 20)}.")


def _red_check(check: CheckResults, most: int) -> Iterator[Line]:
    yield Line()
    yield Line(
        f" {check.record.id}{_where(check, *RED)}",
        head="FAIL" if check.outcome is Outcome.FAIL else "ERROR",
        style=STYLES[check.outcome],
    )
    yield Line(check.record.sentence, indent=2)
    items = sorted(check.having(*RED), key=lambda item: item.outcome is not Outcome.FAIL)
    told = _alike(line for item in items for line in _item(item, item.findings))
    yield from (line for line, _ in told[:most])
    if left := sum(times for _, times in told[most:]):
        yield Line(f"… and {left:,} more, in the report", indent=4)
    if check.next_step:
        yield Line(f" {check.next_step}", head="Next:", style="bold", indent=2)


def _symptoms(check: CheckResults, causes: Mapping[Place, Place]) -> Iterator[Line]:
    """What likely follows from what the check found: one line for it all."""
    if places := following(check, causes):
        told = [
            f"{symptom} on {listed(nodes, 3)}" if nodes else symptom
            for symptom, nodes in places.items()
        ]
        yield Line(f" {listed(told, 8)}", head="Follows from it:", style="bold", indent=2)


def _alike(lines: Iterable[Line]) -> list[tuple[Line, int]]:
    """What several nodes have in common is told once, with how often; the most common first.

    Then a node's further findings come after the first ones of all others.
    """
    places: dict[Line, list[str]] = defaultdict(list)
    turns: dict[Line, int] = {}
    seen: Counter[str] = Counter()
    for line in lines:
        bare = replace(line, head="")
        places[bare].append(line.head)
        seen[line.head] += 1
        turns.setdefault(bare, seen[line.head])
    order = sorted(places, key=lambda bare: (-len(places[bare]), turns[bare]))
    return [(replace(bare, head=_heads(places[bare])), len(places[bare])) for bare in order]


def _heads(heads: Sequence[str]) -> str:
    names = [head.removesuffix(": ") for head in dict.fromkeys(heads) if head]
    return f"{listed(names, 5)}: " if names else ""


def _item(item: ItemResult, findings: Sequence[FindingRecord]) -> Iterator[Line]:
    place = f"{item.node}: " if item.node else ""
    if item.reason:
        yield Line(shortened(item.reason, LONGEST), head=place, indent=4)
    for finding in findings:
        # Of an object on the node that is named already, its part says all.
        about = object_name(finding)
        if finding.object.kind == "Node" and finding.object.name == item.node:
            about = finding.object.part or about
        words = [standing_word(finding)]
        if finding.level.value != item.outcome.value:
            words.insert(0, str(finding.level))
        said = ", ".join(filter(None, words))
        level = f"({said}) " if said else ""
        expected, found = (shortened(t, LONGEST) for t in (finding.expected, finding.found))
        yield Line(
            f"{level}{about}: expected {expected}; found {found}",
            head=place,
            indent=4,
        )


def _where(check: CheckResults, *outcomes: Outcome) -> str:
    nodes = [item.node for item in check.having(*outcomes) if item.node]
    known = len(check.items) + len(check.folded)
    return f" on {len(nodes):,} of {plural(known, 'node')}" if nodes else ""


def _unseen(unseen: Sequence[Unseen], results: Results) -> Iterator[Line]:
    remedies = {check.id: check.remedy for check in results.started.checks}
    for outcome, head, what in (
        (Outcome.ERROR, "ERROR", "could not be looked at, so nothing is known about them"),
        (Outcome.SKIP, "SKIP", "left out"),
    ):
        some = [each for each in unseen if each.outcome is outcome]
        if not some:
            continue
        number = plural(sum(len(each.nodes) for each in some), "node")
        yield Line()
        yield Line(f" {number} {what}", head=head, style=STYLES.get(outcome, "bold"))
        for each in some[:MOST_NODES]:
            names = listed(each.nodes, 5)
            yield Line(shortened(each.reason, LONGEST), head=f"{names}: ", indent=4)
        if some[MOST_NODES:]:
            rest = [name for each in some[MOST_NODES:] for name in each.nodes]
            more = f"… and {plural(len(rest), 'more node')}: {listed(rest, 20)}"
            yield Line(more, indent=4)
        if outcome is Outcome.ERROR and remedies.get(REACHABLE):
            yield Line(f" {remedies[REACHABLE]}", head="Next:", style="bold", indent=2)


def _warnings(checks: Sequence[CheckResults]) -> Iterator[Line]:
    warned = [check for check in checks if check.having(Outcome.WARN)]
    if warned:
        yield Line()
    for check in warned[:MOST_CHECKS]:
        item = check.having(Outcome.WARN)[0]
        first = next(_item(item, item.findings), Line())
        yield Line(
            f" {check.record.id}{_where(check, Outcome.WARN)}; {first.head}{first.text}",
            head="WARN",
            style=STYLES[Outcome.WARN],
        )
    if warned[MOST_CHECKS:]:
        rest = [check.record.id for check in warned[MOST_CHECKS:]]
        yield Line(f" {listed(rest, 20)}", head="WARN", style=STYLES[Outcome.WARN])


def _accepted(checks: Sequence[CheckResults]) -> Iterator[Line]:
    if any(check.having(Outcome.WAIVED, Outcome.KNOWN) for check in checks):
        yield Line()
    for outcome in (Outcome.WAIVED, Outcome.KNOWN):
        items = [item for check in checks for item in check.having(outcome)]
        names = sorted({f"{item.check}[{item.node or 'cluster'}]" for item in items})
        if names:
            yield Line(
                f" {len(names):,} {OUTCOME_WORDS[outcome]}: {listed(names, 5)}",
                head=str(outcome).upper(),
                style="bold",
            )


def _gates(results: Results) -> Iterator[Line]:
    """Waivers that someone should look after, and what healed while it was waited for."""
    told = list(waivers_to_tell(results.ended))
    if told:
        yield Line()
    for waiver in told[:MOST_NODES]:
        yield Line(f" {waiver_sentence(waiver)}", head="WAIVER", style="bold yellow")
    if told[MOST_NODES:]:
        yield Line(f"… and {len(told) - MOST_NODES:,} more, in the report", indent=4)
    wait = results.ended.wait
    if wait:
        yield Line()
        yield Line(f"{wait_sentence(wait)}.")
        for sentence in healing_sentences(wait)[:MOST_NODES]:
            yield Line(f" {sentence}", head="HEALED", style="bold")


def _compared(results: Results) -> Iterator[Line]:
    """What became of the baseline's findings."""
    comparison = results.comparison
    if comparison is None:
        return
    yield Line()
    yield Line(f"{comparison_sentence(comparison)}.")
    for head, some in (("FIXED", comparison.fixed), ("UNSEEN", comparison.unseen)):
        for past in some[:MOST_NODES]:
            yield Line(f" {shortened(past_sentence(past), LONGEST)}", head=head, style="bold")
        if some[MOST_NODES:]:
            yield Line(f"… and {len(some) - MOST_NODES:,} more, in the report", indent=4)


def _not_judged(checks: Sequence[CheckResults], unjudged: Mapping[str, int]) -> Iterator[Line]:
    """Objects that no verdict covers; the skipped checks are in the report."""
    undecided = sorted({o for check in checks for item in check.items for o in item.undecided})
    if undecided or unjudged:
        yield Line()
    if undecided:
        yield Line(f"Undecided, for they kept changing: {listed(undecided, 5)}.")
    for reason, number in list(unjudged.items())[:5]:
        yield Line(f"Not judged: {plural(number, 'object')}, for {reason}.")


def _held(checks: Sequence[CheckResults]) -> Iterator[Line]:
    held = sum(check.outcome is Outcome.PASS for check in checks)
    skipped = [check.record.id for check in checks if check.outcome is Outcome.SKIP and check.items]
    if held or skipped:
        said = f"{plural(held, 'check holds', 'checks hold')}."
        if skipped:
            were = "was" if len(skipped) == 1 else "were"
            said += f" {len(skipped):,} {were} skipped everywhere: {listed(skipped, 10)}."
        yield Line()
        yield Line(said)


def _end(results: Results, report: Path | None) -> Iterator[Line]:
    ended = results.ended
    time = f"{plural(ended.looks, 'look')}, {duration(ended.seconds)}"
    yield Line()
    yield Line(f"{coverage_sentence(ended.coverage)} ({time})")
    if report:
        yield Line(f"report: {report}")
    yield Line(head=ended.verdict, style=STYLES[tone(results)])
