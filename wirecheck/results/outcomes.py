"""The outcome of an item, from its findings and their standing. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.results.records import FindingRecord


def outcome_of(findings: Iterable[FindingRecord], *, error: bool, skip: bool) -> Outcome:
    """Return the item's outcome: accepted findings count only if there are no others.

    An error is never accepted, because it hides what would have been found.
    """
    found = list(findings)
    is_open = [each for each in found if each.standing not in ("known", "waived")]
    levels = {each.level for each in is_open if each.flaky is None}
    ranked = {
        Outcome.FAIL: Level.FAIL in levels,
        Outcome.ERROR: error or any(e.level is Level.ERROR and e.flaky is None for e in found),
        Outcome.FLAKY: any(each.flaky is not None for each in is_open),
        Outcome.WARN: Level.WARN in levels,
        Outcome.KNOWN: any(each.standing == "known" for each in found),
        Outcome.WAIVED: bool(found),
        Outcome.SKIP: skip,
    }
    return next((outcome for outcome, is_it in ranked.items() if is_it), Outcome.PASS)
