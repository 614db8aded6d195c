"""Since when findings exist, from the history of earlier runs. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from wirecheck.results.history import HistoryEntry, finding_digest
from wirecheck.results.records import FURTHER, FindingRecord, Results, SinceRecord

NOT_EVALUATED = frozenset({"", "error", "skip"})
"""Outcomes of a check that say nothing about a finding that an earlier run lacks."""

FIRST_RUN = "the first run that had it"
OLDEST_RUN = "or earlier: the oldest run on record already had it"
THIS_RUN = "the runs before did not have it"


def with_since(results: Results, history: Sequence[HistoryEntry]) -> Results:
    """The results, with the first run that had each finding.

    `history` is that of the cluster, the oldest run first. What a fact of the node or the API
    shows already stays.
    """
    now = results.started.time
    earlier = [entry for entry in history if entry.time < now]
    if not earlier:
        return results
    items = [
        replace(
            item,
            findings=[
                _with_first_run(each, item.check, item.node, earlier, now) for each in item.findings
            ],
        )
        if item.findings
        else item
        for item in results.items
    ]
    return replace(results, items=items)


def _with_first_run(
    finding: FindingRecord, check: str, node: str, earlier: Sequence[HistoryEntry], now: str
) -> FindingRecord:
    if finding.since or finding.object.part == FURTHER:
        return finding
    return replace(finding, since=_first_run(finding, check, node, earlier, now))


def _first_run(
    finding: FindingRecord, check: str, node: str, earlier: Sequence[HistoryEntry], now: str
) -> SinceRecord | None:
    """The first of the latest runs that all had the finding, as far as they could have it."""
    digest, first = finding_digest(finding.key), ""
    for entry in reversed(earlier):
        if entry.found is None:
            break  # A run of an earlier version, or one with too many findings to list.
        if digest in entry.found:
            first = entry.time
        elif _could_find(entry, check, node):
            return SinceRecord(first, FIRST_RUN) if first else SinceRecord(now, THIS_RUN)
    return SinceRecord(first, OLDEST_RUN) if first else None


def _could_find(entry: HistoryEntry, check: str, node: str) -> bool:
    """Whether the run evaluated the check there, so that it would have had the finding."""
    outcome = entry.checks.get(check, "")
    return not (entry.partial or outcome in NOT_EVALUATED or node in entry.missed)
