"""The outcome of an item, from its findings and their standing. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.results.records import FindingRecord


def outcome_of(findings: Iterable[FindingRecord], *, error: bool, skip: bool) -> Outcome:
    """Return the item's outcome: accepted findings count only if there are no others.

    An error is never accepted, because it hides what would have been found.
    """
    found = {(finding.level, finding.standing) for finding in findings}
    open_levels = {level for level, standing in found if standing not in ("known", "waived")}
    if Level.FAIL in open_levels:
        return Outcome.FAIL
    if error or any(level is Level.ERROR for level, _ in found):
        return Outcome.ERROR
    if Level.WARN in open_levels:
        return Outcome.WARN
    if any(standing == "known" for _, standing in found):
        return Outcome.KNOWN
    if found:
        return Outcome.WAIVED
    return Outcome.SKIP if skip else Outcome.PASS
