"""Waivers: which findings they cover, and how each waiver was used. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Literal

from wirecheck.catalogue.findings import Level
from wirecheck.catalogue.former_ids import matches
from wirecheck.results.records import FindingRecord, ItemResult, WaiverRecord
from wirecheck.snapshot.index import SnapshotIndex, Waiver


def waiver_for(
    check: str, node: str, finding: FindingRecord, index: SnapshotIndex
) -> Waiver | None:
    """The waiver that covers the finding on the day of the run; None if there is none."""
    today = day_of(index.time)
    for waiver in index.waivers:
        if waiver.until >= today and covers(waiver, check, node, finding):
            return waiver
    return None


def waiver_records(index: SnapshotIndex, items: Sequence[ItemResult]) -> list[WaiverRecord]:
    """How each waiver was used. One that covers nothing can be removed, or is misspelt."""
    return [_record(waiver, index, items) for waiver in index.waivers]


def _record(waiver: Waiver, index: SnapshotIndex, items: Sequence[ItemResult]) -> WaiverRecord:
    expired = waiver.until < day_of(index.time)
    about = [item for item in items if matches(item.check, waiver.check)]
    covered = sum(
        covers(waiver, item.check, item.node, finding)
        and (expired or waiver_for(item.check, item.node, finding, index) == waiver)
        for item in about
        for finding in item.findings
    )
    state: Literal["used", "unused", "expired", "not asked"] = "used" if covered else "unused"
    if expired:
        state = "expired"
    elif not about:
        state = "not asked"
    return WaiverRecord(
        check=waiver.check,
        where=waiver.where,
        reason=waiver.reason,
        owner=waiver.owner,
        until=waiver.until,
        state=state,
        findings=covered,
    )


def covers(waiver: Waiver, check: str, node: str, finding: FindingRecord) -> bool:
    """Whether the waiver matches the finding, regardless of the day."""
    about = finding.object
    places = (node, str(about), f"{about.namespace}/{about.name}")
    return (
        finding.level is not Level.ERROR
        and matches(check, waiver.check)
        and any(fnmatchcase(place, waiver.where) for place in places)
    )


def terms(waiver: Waiver) -> str:
    """The waiver's reason, owner and date."""
    return f"{waiver.reason} ({waiver.owner}, until {waiver.until})"


def day_of(time: float) -> str:
    """The date in UTC, as in waivers: `2026-11-23`."""
    return datetime.fromtimestamp(time, tz=UTC).date().isoformat()
