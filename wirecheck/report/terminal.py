"""The last screen of a run: what fails and what to do, what was not checked, the verdict last."""

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
    waivers_needing_attention,
)
from wirecheck.report.pasted_commands import with_options
from wirecheck.report.sentences import (
    OUTCOME_WORDS,
    cluster_sentence,
    inspect_command,
    object_name,
    run_sentence,
    since_words,
)
from wirecheck.results.causes import ItemKey, symptoms
from wirecheck.results.ordering import (
    FAILING,
    REACHABLE,
    CheckResults,
    UncheckedNodes,
    by_check,
    causes_first,
    most_each,
    symptoms_of,
    tone,
    unchecked_nodes,
    without_symptoms,
    without_unchecked,
)
from wirecheck.results.records import FindingRecord, ItemResult, Results, RunStarted
from wirecheck.results.tally import tally_of
from wirecheck.text import harmless, listed, moment, plural, shortened

MOST_FINDINGS = 20
MOST_CHECKS = 10
MOST_NODES = 10
MOST_COMMANDS = 2
LONGEST = 400

STYLES = {
    Outcome.FAIL: "bold red",
    Outcome.ERROR: "bold magenta",
    Outcome.FLAKY: "bold yellow",
    Outcome.WARN: "bold yellow",
    Outcome.PASS: "bold green",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line before it is wrapped: a styled head, and the rest."""

    text: str = ""
    head: str = ""
    style: str = ""
    indent: int = 0


def show(
    results: Results, console: Console, report: Path | None = None, kubectl_options: str = ""
) -> None:
    """Print the screen. `report` is the place of the run's page.

    Calls of kubectl get `kubectl_options`, which name the cluster.
    """
    for line in _screen(results, report):
        _print(replace(line, text=with_options(line.text, kubectl_options)), console)


def _print(line: Line, console: Console) -> None:
    """Wrap the line with a hanging indent on a terminal; elsewhere keep one line for grep."""
    text = harmless(f"{line.head}{line.text}")
    # A terminal without UTF-8 gets escapes, because printing would raise an exception.
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
    checks = without_unchecked(by_check(results))
    unchecked = unchecked_nodes(results)
    yield Line(
        f": {cluster_sentence(started.cluster)}, {moment(started.time)}",
        head=f"wirecheck {started.wirecheck}",
        style="bold",
    )
    yield from (Line(f"Note: {note}") for note in started.notes)
    doubts = results.comparison.doubts if results.comparison else []
    yield from (Line(f"Doubtful baseline: {doubt}") for doubt in doubts)
    yield from (Line(f"Overridden: {o.name} was {o.was}, now {o.now}") for o in started.overrides)
    causes = symptoms(results.items)
    yield from _failing(results, checks, causes)
    yield from _unchecked(unchecked, results)
    yield from _warnings(checks, causes, Outcome.FLAKY)
    yield from _warnings(checks, causes, Outcome.WARN)
    yield from _accepted(checks)
    yield from _gates(results)
    yield from _compared(results)
    yield from _inconclusive(checks, results.ended.coverage.unjudged)
    yield from _passed(results)
    yield from _end(results, report)


def _failing(
    results: Results, checks: Sequence[CheckResults], causes: Mapping[ItemKey, ItemKey]
) -> Iterator[Line]:
    """Root causes, then checks that could not be completed, each with some of its findings."""
    full = {check.record.id: check for check in checks}
    own = (without_symptoms(check, causes) for check in checks)
    failing = causes_first((check for check in own if check.having(*FAILING)), {})
    sizes = [
        sum(max(1, len(item.findings)) for item in check.having(*FAILING)) for check in failing
    ]
    each = most_each(sizes, MOST_FINDINGS)
    for check in failing[:MOST_CHECKS]:
        yield from _failing_check(check, full[check.record.id], each)
        yield from _inspect(check, results.started)
        yield from _symptoms(check, causes)
    if failing[MOST_CHECKS:]:
        rest = [check.record.id for check in failing[MOST_CHECKS:]]
        yield Line()
        yield Line(f"And {plural(len(rest), 'more check')}: {listed(rest, 20)}.")


def _failing_check(check: CheckResults, full: CheckResults, most: int) -> Iterator[Line]:
    """The check without its symptoms; `full` has them, and its numbers are shown."""
    yield Line()
    yield Line(
        f" {check.record.id}{_where(full, check.outcome)}",
        head="FAIL" if check.outcome is Outcome.FAIL else "ERROR",
        style=STYLES[check.outcome],
    )
    yield Line(check.record.sentence, indent=2)
    items = sorted(check.having(*FAILING), key=lambda item: item.outcome is not Outcome.FAIL)
    lines = _shared(line for item in items for line in _item(item, item.findings))
    yield from (line for line, _ in lines[:most])
    if left := sum(times for _, times in lines[most:]):
        yield Line(f"… and {left:,} more, in the report", indent=4)
    if check.next_step:
        yield Line(f" {check.next_step}", head="Next:", style="bold", indent=2)


def _inspect(check: CheckResults, started: RunStarted) -> Iterator[Line]:
    """The commands that show the first objects of the check's findings."""
    findings = (each for item in check.having(check.outcome) for each in item.findings)
    commands = dict.fromkeys(inspect_command(each, started) for each in findings)
    if some := [f"`{command}`" for command in commands if command]:
        yield Line(f" {listed(some, MOST_COMMANDS)}", head="Inspect:", style="bold", indent=2)


def _symptoms(check: CheckResults, causes: Mapping[ItemKey, ItemKey]) -> Iterator[Line]:
    """The checks whose failures likely follow from this one, in one line."""
    if symptoms := symptoms_of(check, causes):
        names = [
            f"{symptom} on {listed(nodes, 3)}" if nodes else symptom
            for symptom, nodes in symptoms.items()
        ]
        yield Line(f" {listed(names, 8)}", head="Follows from it:", style="bold", indent=2)


def _shared(lines: Iterable[Line]) -> list[tuple[Line, int]]:
    """Lines that several nodes share, once, with their number; the most frequent first.

    Among equally frequent lines, the first finding of each node comes before any second one.
    """
    heads: dict[Line, list[str]] = defaultdict(list)
    turns: dict[Line, int] = {}
    seen: Counter[str] = Counter()
    for line in lines:
        bare = replace(line, head="")
        heads[bare].append(line.head)
        seen[line.head] += 1
        turns.setdefault(bare, seen[line.head])
    order = sorted(heads, key=lambda bare: (-len(heads[bare]), turns[bare]))
    return [(replace(bare, head=_joined(heads[bare])), len(heads[bare])) for bare in order]


def _joined(heads: Sequence[str]) -> str:
    names = [head.removesuffix(": ") for head in dict.fromkeys(heads) if head]
    return f"{listed(names, 5)}: " if names else ""


def _item(item: ItemResult, findings: Sequence[FindingRecord]) -> Iterator[Line]:
    where = f"{item.node}: " if item.node else ""
    if item.reason:
        yield Line(shortened(item.reason, LONGEST), head=where, indent=4)
    for finding in findings:
        # The line begins with the node's name, so an object on the node needs only its part.
        about = object_name(finding)
        if finding.object.kind == "Node" and finding.object.name == item.node:
            about = finding.object.part or about
        words = [standing_word(finding)]
        if finding.level.value != item.outcome.value:
            words.insert(0, str(finding.level))
        qualifiers = ", ".join(filter(None, words))
        level = f"({qualifiers}) " if qualifiers else ""
        expected, found = (shortened(t, LONGEST) for t in (finding.expected, finding.found))
        since = since_words(finding)
        yield Line(
            f"{level}{about}: expected {expected}; found {found}{since and f'; {since}'}",
            head=where,
            indent=4,
        )


def _where(check: CheckResults, outcome: Outcome) -> str:
    nodes = {item.node for item in check.having(outcome) if item.node}
    known = len(check.items) + len(check.folded)
    return f" on {len(nodes):,} of {plural(known, 'node')}" if nodes else ""


def _unchecked(unchecked: Sequence[UncheckedNodes], results: Results) -> Iterator[Line]:
    remedies = {check.id: check.remedy for check in results.started.checks}
    for outcome, head, what in (
        (Outcome.ERROR, "ERROR", "could not be checked; nothing is known about them"),
        (Outcome.SKIP, "SKIP", "skipped"),
    ):
        some = [each for each in unchecked if each.outcome is outcome]
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


def _warnings(
    checks: Sequence[CheckResults], causes: Mapping[ItemKey, ItemKey], outcome: Outcome
) -> Iterator[Line]:
    """The checks with a milder outcome than failing, each with its first finding."""
    full = {check.record.id: check for check in checks}
    own = (without_symptoms(check, causes) for check in checks)
    warned = [check for check in own if check.having(outcome)]
    head, style = str(outcome).upper(), STYLES[outcome]
    if warned:
        yield Line()
    for check in warned[:MOST_CHECKS]:
        item = check.having(outcome)[0]
        first = next(_item(item, item.findings), Line())
        where = _where(full[check.record.id], outcome)
        yield Line(f" {check.record.id}{where}; {first.head}{first.text}", head=head, style=style)
    if warned[MOST_CHECKS:]:
        rest = [check.record.id for check in warned[MOST_CHECKS:]]
        yield Line(f" {listed(rest, 20)}", head=head, style=style)


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
    """Waivers that need attention, and items that became healthy during the wait."""
    waivers = list(waivers_needing_attention(results.ended))
    if waivers:
        yield Line()
    for waiver in waivers[:MOST_NODES]:
        yield Line(f" {waiver_sentence(waiver)}", head="WAIVER", style="bold yellow")
    if waivers[MOST_NODES:]:
        yield Line(f"… and {len(waivers) - MOST_NODES:,} more, in the report", indent=4)
    wait = results.ended.wait
    if wait:
        yield Line()
        yield Line(f"{wait_sentence(wait)}.")
        for sentence in healing_sentences(wait)[:MOST_NODES]:
            yield Line(f" {sentence}", head="HEALED", style="bold")


def _compared(results: Results) -> Iterator[Line]:
    """The changes since the baseline."""
    comparison = results.comparison
    if comparison is None:
        return
    yield Line()
    yield Line(f"{comparison_sentence(comparison)}.")
    for head, some in (("FIXED", comparison.fixed), ("UNCHECKED", comparison.unseen)):
        for past in some[:MOST_NODES]:
            yield Line(f" {shortened(past_sentence(past), LONGEST)}", head=head, style="bold")
        if some[MOST_NODES:]:
            yield Line(f"… and {len(some) - MOST_NODES:,} more, in the report", indent=4)


def _inconclusive(checks: Sequence[CheckResults], unjudged: Mapping[str, int]) -> Iterator[Line]:
    """The objects that the verdict does not cover."""
    undecided = sorted({o for check in checks for item in check.items for o in item.undecided})
    if undecided or unjudged:
        yield Line()
    if undecided:
        yield Line(f"Inconclusive, because they kept changing: {listed(undecided, 5)}.")
    for reason, number in list(unjudged.items())[:5]:
        yield Line(f"Inconclusive: {plural(number, 'object')} ({reason}).")


def _passed(results: Results) -> Iterator[Line]:
    tally = tally_of(results)
    skipped = [check for check, outcome in tally.outcomes.items() if outcome is Outcome.SKIP]
    if tally.number(Outcome.PASS) or skipped:
        sentence = tally.phrase(Outcome.PASS)
        if skipped:
            sentence += f", {len(skipped):,} not applicable: {listed(skipped, 10)}"
        yield Line()
        yield Line(f"{sentence}.")


def _end(results: Results, report: Path | None) -> Iterator[Line]:
    yield Line()
    yield Line(run_sentence(results.ended))
    if report:
        yield Line(f"Report: {report}")
    yield Line(head=results.ended.verdict, style=STYLES[tone(results)])
