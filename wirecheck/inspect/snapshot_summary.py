"""A snapshot in a few lines: the cluster, the time, and the coverage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from wirecheck.api_index.helper_pods import without_helpers
from wirecheck.evaluation.slow_commands import slow_commands
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import HelperPodsRecord, RoundRecord
from wirecheck.text import plural


def summary(snapshot: Snapshot) -> Iterator[str]:
    """The lines. Raises SnapshotError if the API objects are damaged."""
    index = snapshot.index
    yield f"snapshot    {snapshot.path}, format {index.format}, by wirecheck {index.wirecheck}"
    yield f"cluster     {index.cluster.title or '-'}, Kubernetes {index.cluster.version or '-'}"
    yield f"taken       {_moment(index.time)}"
    for number in snapshot.numbers:
        each = snapshot.record(number)
        seconds = each.finished - each.started
        counted = objects_counted(snapshot.api(number), index.helper_pods)
        changes = plural(len(each.changes), "change")
        when = "" if number else ", before helper pods were created"
        yield f"round {number}     {seconds:.1f} s, {counted}, {changes}{when}"
        yield from _visits(each)
    for waiver in index.waivers:
        yield (
            f"waiver      {waiver.check} at {waiver.where} until {waiver.until}, "
            f"{waiver.owner}: {waiver.reason}"
        )
    for note in (*index.notes, *slow_commands(index)):
        yield f"note        {note}"


def objects_counted(objects: ApiObjects, run: HelperPodsRecord | None) -> str:
    """The numbers of objects: `4 nodes, 30 pods, 12 Services`."""
    return ", ".join(
        (
            plural(len(objects.nodes), "node"),
            plural(len(without_helpers(objects.pods, run)), "pod"),
            plural(len(objects.services), "Service"),
        )
    )


def _visits(record: RoundRecord) -> Iterator[str]:
    statuses = Counter(visit.status for visit in record.visits.values())
    size = sum(visit.bytes for visit in record.visits.values())
    counted = ", ".join(f"{number:,} {status}" for status, number in statuses.most_common())
    yield f"  visits    {counted or 'none'}; {size / 1e6:.1f} MB"
    for name, visit in sorted(record.visits.items()):
        if not visit.status.reached:
            yield f"  {name}: {visit.status}: {visit.reason}"
    yield from (f"  problem: {problem}" for problem in record.problems)


def _moment(time: float) -> str:
    return datetime.fromtimestamp(time, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
