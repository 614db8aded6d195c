"""Snapshots of one cluster that were taken of different nodes, as one snapshot.

What checks compare between nodes cannot be put together from results. Snapshots can, and judging
the whole one gives what a single run would have given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from wirecheck.collect.api.changes import changes_between
from wirecheck.run.live import NO_ACCESS
from wirecheck.run.request import RequestError
from wirecheck.snapshot.api_objects import ApiObjects, Change
from wirecheck.snapshot.blocks import named
from wirecheck.snapshot.folder import INDEX, Snapshot, SnapshotWriter
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex, VisitRecord

RESULTS = "results.jsonl"
RUNS_OWN = "snapshot"
"""The folder in a run's folder that holds its snapshot."""

NO_ACCESS_NOTES = (NO_ACCESS, "There was no way into ")
"""Notes of a part that the merged run does not keep: another part has access to those nodes.

The second one is in snapshots and results of earlier versions."""


def opened(path: Path) -> Snapshot:
    """The snapshot in `path`, a snapshot's folder or a run's. Raises SnapshotError without one."""
    inner = path / RUNS_OWN
    return Snapshot.open(inner if (inner / INDEX).is_file() else path)


def _is_run(path: Path) -> bool:
    return any((path / name).is_file() for name in (INDEX, f"{RUNS_OWN}/{INDEX}", RESULTS))


def has_snapshot(path: Path) -> bool:
    """Whether `path` is to be opened as one; what is not there at all is complained of as one."""
    if (path / INDEX).is_file() or (path / RUNS_OWN / INDEX).is_file():
        return True
    return not path.is_file() and not (path / RESULTS).is_file()


def expanded(paths: Sequence[Path]) -> list[Path]:
    """The runs and snapshots in `paths`: of a folder of report folders the newest of each.

    A run's folder gets its name when it is complete.
    """
    found = []
    for path in paths:
        inner = sorted(path.iterdir()) if path.is_dir() and not _is_run(path) else []
        reports = [sorted(filter(_is_run, each.glob("[!.]*/"))) for each in inner]
        newest = [each[-1] for each in reports if each]
        # What holds nothing is named where it is opened.
        found += newest or ([] if inner else [path])
    return found


def merge(parts: Sequence[Snapshot], folder: Path) -> Snapshot:
    """Write the whole snapshot to the new folder.

    Raises RequestError where the parts are not of one cluster, were to be judged differently, or
    saw the same node; SnapshotError where one cannot be read.
    """
    ordered = sorted(parts, key=lambda each: each.index.time)
    _refuse_strangers(ordered)
    first = ordered[0].index
    whole = msgspec.structs.replace(
        first,
        queries={key: text for each in ordered for key, text in each.index.queries.items()},
        notes=list(dict.fromkeys(_notes(ordered))),
        looks=[],
    )
    writer = SnapshotWriter(folder, whole)
    for look in range(1, max(len(each.index.looks) for each in ordered) + 1):
        _write_look(writer, look, [each for each in ordered if len(each.index.looks) >= look])
    return Snapshot.open(folder)


def _notes(parts: Sequence[Snapshot]) -> Iterator[str]:
    for each in parts:
        yield from (note for note in each.index.notes if not note.startswith(NO_ACCESS_NOTES))
    yield f"Put together from {len(parts)} snapshots of different nodes."


def _refuse_strangers(parts: Sequence[Snapshot]) -> None:
    first = parts[0]
    for each in parts:
        if not each.index.looks:
            raise RequestError(f"{each.path} has no finished look; take it anew.")
        if not each.index.cluster.uid or each.index.cluster.uid != first.index.cluster.uid:
            raise RequestError(
                f"{each.path} is not known to be of the same cluster as {first.path}: "
                f"{_cluster(each.index)}, {_cluster(first.index)}."
            )
        if _terms(each.index) != _terms(first.index):
            raise RequestError(
                f"{each.path} was taken with other thresholds or waivers than {first.path}; take "
                "all parts with the same inventory."
            )


def _cluster(index: SnapshotIndex) -> str:
    return f"context {index.cluster.context or 'unknown'} (uid {index.cluster.uid or 'unknown'})"


def _terms(index: SnapshotIndex) -> tuple[object, ...]:
    return index.thresholds, index.waivers, index.dns_domain


@dataclass(frozen=True, slots=True)
class _Visit:
    part: Snapshot
    record: VisitRecord


def _write_look(writer: SnapshotWriter, look: int, parts: Sequence[Snapshot]) -> None:
    apis = [each.api(look) for each in parts]
    records = [each.index.looks[look - 1] for each in parts]
    visits: dict[str, _Visit] = {}
    for part, record in zip(parts, records, strict=True):
        for name, visit in record.visits.items():
            visits[name] = _better(name, visits.get(name), _Visit(part, visit))
    writer.write_api(look, apis[0])
    for name, each in sorted(visits.items()):
        if each.record.status.reached:
            document = each.part.document(name, look)
            writer.write_document(look, name, msgspec.json.encode(named(document)))
    writer.finish_round(
        RoundRecord(
            started=min(each.started for each in records),
            finished=max(each.finished for each in records),
            visits={name: each.record for name, each in sorted(visits.items())},
            changes=_changes(apis, records),
            problems=list(dict.fromkeys(text for each in records for text in each.problems)),
        )
    )


def _better(name: str, known: _Visit | None, new: _Visit) -> _Visit:
    """Of two visits the one that saw the node, else the one that had a way in."""
    if known is None or not known.record.status.attempted:
        return new
    if new.record.status.reached and known.record.status.reached:
        raise RequestError(
            f"Both {known.part.path} and {new.part.path} saw node {name}; which of them counts? "
            "Merge snapshots of different nodes."
        )
    return new if new.record.status.reached else known


def _changes(apis: Sequence[ApiObjects], records: Sequence[RoundRecord]) -> list[Change]:
    """What changed during a look, and between the parts: the whole has the first one's objects."""
    found = [change for each in records for change in each.changes]
    found += [change for api in apis[1:] for change in changes_between(apis[0], api)]
    by_object = {(each.kind, each.namespace, each.name): each for each in found}
    return [by_object[key] for key in sorted(by_object)]
