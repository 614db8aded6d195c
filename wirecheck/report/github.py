"""Annotations of a GitHub job: at most ten, because GitHub drops further ones silently."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.sentences import following_sentence, object_name
from wirecheck.results.causes import symptoms
from wirecheck.results.ordering import FAILING, by_check, causes_first, causes_of
from wirecheck.results.records import ItemResult, Results
from wirecheck.text import harmless, shortened

MOST = 10
LONGEST = 500


SHOWN = FAILING | {Outcome.FLAKY}


def error_lines(results: Results) -> list[str]:
    """One line for each failing or flaky check, root causes first, with the first finding."""
    causes = symptoms(results.items)
    failing = causes_first((c for c in by_check(results) if c.having(*SHOWN)), causes)
    lines = []
    for check in failing[:MOST]:
        items = check.having(check.outcome)
        command = "error" if check.outcome in FAILING else "warning"
        nodes = len({item.node for item in items if item.node})
        where = f" on {nodes:,} nodes" if nodes > 1 else ""
        title = _property(f"wirecheck {check.record.id}{where}")
        text = "; ".join(_first(items[0]))
        if following := following_sentence(causes_of(check, causes)):
            text = f"{following} {text}"
        lines.append(f"::{command} title={title}::{_text(text)}")
    return lines


def _first(item: ItemResult) -> Iterator[str]:
    where = f"{item.node}: " if item.node else ""
    if not item.findings:
        yield f"{where}{item.reason}"
        return
    first = item.findings[0]
    yield f"{where}{object_name(first)}: expected {first.expected}"
    yield f"found {first.found}"
    if first.flaky:
        yield f"flaky: {first.flaky}"


def _text(text: str) -> str:
    """Escape the text. GitHub reads a command to the end of the line, and `%` as an escape."""
    return shortened(harmless(text), LONGEST).replace("%", "%25")


def _property(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
