"""Annotations of a GitHub job: at most ten, for GitHub drops all further ones in silence."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.report.sentences import object_name
from wirecheck.results.ordering import RED, WORST_FIRST, by_check
from wirecheck.results.records import ItemResult, Results
from wirecheck.text import harmless, shortened

MOST = 10
LONGEST = 500


def error_lines(results: Results) -> list[str]:
    """One line each, the worst first: a check, where it is red, and the first finding."""
    red = sorted(
        (check for check in by_check(results) if check.having(*RED)),
        key=lambda check: WORST_FIRST.index(check.outcome),
    )
    lines = []
    for check in red[:MOST]:
        items = check.having(*RED)
        nodes = len({item.node for item in items if item.node})
        where = f" on {nodes:,} nodes" if nodes > 1 else ""
        title = _property(f"wirecheck {check.record.id}{where}")
        lines.append(f"::error title={title}::{_text('; '.join(_first(items[0])))}")
    return lines


def _first(item: ItemResult) -> Iterator[str]:
    place = f"{item.node}: " if item.node else ""
    if not item.findings:
        yield f"{place}{item.reason}"
        return
    first = item.findings[0]
    yield f"{place}{object_name(first)}: expected {first.expected}"
    yield f"found {first.found}"


def _text(text: str) -> str:
    """GitHub reads a command to the line's end, and `%` as the start of an escape."""
    return shortened(harmless(text), LONGEST).replace("%", "%25")


def _property(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
