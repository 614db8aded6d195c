"""Merges snapshots of one cluster that were taken of different nodes.

Results of checks that compare nodes cannot be merged. Snapshots can, and evaluating the merged one
gives the results of a single run.
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
"""The folder of the snapshot in a run's folder."""

NO_ACCESS_NOTES = (NO_ACCESS, "There was no way into ")
"""Notes of a part that the merged run does not keep: another part has access to those nodes.

The second one is in snapshots and results of earlier versions."""


def opened(path: Path) -> Snapshot:
    """Open the snapshot in `path`, a snapshot's or a run's folder. Raises SnapshotError."""
    inner = path / RUNS_OWN
    return Snapshot.open(inner if (inner / INDEX).is_file() else path)


def _is_run(path: Path) -> bool:
    return any((path / name).is_file() for name in (INDEX, f"{RUNS_OWN}/{INDEX}", RESULTS))


def has_snapshot(path: Path) -> bool:
    """Whether to open `path` as a snapshot; also true if it does not exist."""
    if (path / INDEX).is_file() or (path / RUNS_OWN / INDEX).is_file():
        return True
    return not path.is_file() and not (path / RESULTS).is_file()


def expanded(paths: Sequence[Path]) -> list[Path]:
    """The runs and snapshots in `paths`; in a folder of report folders, the newest run of each.

    A run's folder gets its final name when it is complete.
    """
    found = []
    for path in paths:
        inner = sorted(path.iterdir()) if path.is_dir() and not _is_run(path) else []
        reports = [sorted(filter(_is_run, each.glob("[!.]*/"))) for each in inner]
        newest = [each[-1] for each in reports if each]
        # An empty folder is reported when it is opened.
        found += newest or ([] if inner else [path])
    return found


def merge(parts: Sequence[Snapshot], folder: Path) -> Snapshot:
    """Write the merged snapshot to the new folder.

    Raises RequestError if the parts are of different clusters, have different thresholds or
    waivers, or visited the same node; SnapshotError if one cannot be read.
    """
    ordered = sorted(parts, key=lambda each: each.index.time)
    _refuse_strangers(ordered)
    first = ordered[0].index
    merged = msgspec.structs.replace(
        first,
        queries={key: text for each in ordered for key, text in each.index.queries.items()},
        notes=list(dict.fromkeys(_notes(ordered))),
        looks=[],
        before=None,
    )
    writer = SnapshotWriter(folder, merged)
    for number in sorted({number for each in ordered for number in each.numbers}):
        _write_round(writer, number, [each for each in ordered if number in each.numbers])
    return Snapshot.open(folder)


def _notes(parts: Sequence[Snapshot]) -> Iterator[str]:
    for each in parts:
        yield from (note for note in each.index.notes if not note.startswith(NO_ACCESS_NOTES))
    yield f"Merged from {len(parts)} snapshots of different nodes."


def _refuse_strangers(parts: Sequence[Snapshot]) -> None:
    first = parts[0]
    for each in parts:
        if not each.index.looks:
            raise RequestError(f"{each.path} has no finished round; take it again.")
        if not each.index.cluster.uid or each.index.cluster.uid != first.index.cluster.uid:
            raise RequestError(
                f"{each.path} and {first.path} are not of the same cluster: "
                f"{_cluster(each.index)}, {_cluster(first.index)}. Merge parts of one cluster."
            )
        if _terms(each.index) != _terms(first.index):
            raise RequestError(
                f"{each.path} was taken with other thresholds or waivers than {first.path}. Take "
                "all parts with the same inventory."
            )


def _cluster(index: SnapshotIndex) -> str:
    return f"{index.cluster.title or 'unnamed'} (uid {index.cluster.uid or 'unknown'})"


def _terms(index: SnapshotIndex) -> tuple[object, ...]:
    return index.thresholds, index.waivers, index.dns_domain, index.upgrade_target


@dataclass(frozen=True, slots=True)
class _Visit:
    part: Snapshot
    record: VisitRecord


def _write_round(writer: SnapshotWriter, number: int, parts: Sequence[Snapshot]) -> None:
    apis = [each.api(number) for each in parts]
    records = [each.record(number) for each in parts]
    visits: dict[str, _Visit] = {}
    for part, record in zip(parts, records, strict=True):
        for name, visit in record.visits.items():
            visits[name] = _better(name, visits.get(name), _Visit(part, visit))
    writer.write_api(number, apis[0])
    for name, each in sorted(visits.items()):
        if each.record.status.reached:
            document = each.part.document(name, number)
            writer.write_document(number, name, msgspec.json.encode(named(document)))
    writer.finish_round(
        RoundRecord(
            started=min(each.started for each in records),
            finished=max(each.finished for each in records),
            visits={name: each.record for name, each in sorted(visits.items())},
            changes=_changes(apis, records),
            problems=list(dict.fromkeys(text for each in records for text in each.problems)),
            # The time at which the objects were read, which are those of the first part.
            api_time=records[0].api_time,
        ),
        before=number == 0,
    )


def _better(name: str, known: _Visit | None, new: _Visit) -> _Visit:
    """Of two visits the one that reached the node, else the one that had access."""
    if known is None or not known.record.status.attempted:
        return new
    if new.record.status.reached and known.record.status.reached:
        raise RequestError(
            f"Both {known.part.path} and {new.part.path} visited node {name}. Merge snapshots of "
            "different nodes."
        )
    return new if new.record.status.reached else known


def _changes(apis: Sequence[ApiObjects], records: Sequence[RoundRecord]) -> list[Change]:
    """What changed during a round and between the parts; the first part has the objects."""
    found = [change for each in records for change in each.changes]
    found += [change for api in apis[1:] for change in changes_between(apis[0], api)]
    by_object = {(each.kind, each.namespace, each.name): each for each in found}
    return [by_object[key] for key in sorted(by_object)]
