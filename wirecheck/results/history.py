"""`history.jsonl`: one line for each run, which shows a cluster over time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from wirecheck.catalogue.findings import Level
from wirecheck.catalogue.former_ids import current_id, former_key, warn_of_ids
from wirecheck.results.ordering import by_check
from wirecheck.results.records import Results
from wirecheck.whole_file import append_line

NAME = "history.jsonl"
LARGEST = 64 << 20
"""Bytes that are read from the end of the file: about ten thousand runs."""

MOST_FOUND = 2000
"""Findings and nodes that a line lists: about 30 kB."""


class HistoryEntry(Struct, frozen=True, omit_defaults=True):
    """One run. Fields of later versions are ignored."""

    time: str
    cluster: str
    """The UID of the cluster, or the context if the UID is unknown."""
    status: int
    verdict: str
    counts: dict[str, int] = {}
    checks: dict[str, str] = {}
    """The worst outcome of each check."""
    measured: dict[str, float] = {}
    failing: str = msgspec.field(default="", name="red")
    """A digest of the keys of all failures, flaky ones included: it stays the same as long as the
    same things fail."""
    report: str = ""
    """The folder of the run."""
    found: list[str] | None = None
    """A digest of the key of each finding; None in lines of earlier versions, or if there are more
    than MOST_FOUND."""
    missed: list[str] = []
    """The nodes that were not checked."""
    partial: bool = False
    """Whether only some nodes or namespaces were checked: a finding that is missing may exist."""


def entry_of(results: Results, report: Path) -> HistoryEntry:
    """The entry of a run."""
    started, ended = results.started, results.ended
    keys = {finding.key for item in results.items for finding in item.findings}
    found = sorted(map(finding_digest, keys))
    missed = sorted({*ended.coverage.unreachable, *ended.coverage.skipped_nodes})
    nodes = {item.node for item in results.items} - {""}
    fits = len(found) + len(missed) <= MOST_FOUND
    return HistoryEntry(
        time=started.time,
        cluster=cluster_of(results),
        status=ended.status,
        verdict=ended.verdict,
        counts=ended.counts,
        checks={check.record.id: str(check.outcome) for check in by_check(results)},
        measured=ended.measured,
        # With former ids, so that the renaming of checks is not reported as a change.
        failing=_digest(
            f"{'flaky ' if finding.flaky else ''}{former_key(finding.key)}"
            for item in results.items
            for finding in item.findings
            if finding.level is not Level.WARN and finding.standing in ("", "new")
        ),
        report=str(report),
        found=found if fits else None,
        missed=missed if fits else [],
        partial=bool(started.selected_nodes or started.selected_namespaces)
        or 0 < len(nodes) < ended.coverage.nodes_known,
    )


def cluster_of(results: Results) -> str:
    """What the lines of the cluster's runs call it."""
    return results.started.cluster.uid or results.started.cluster.name


def finding_digest(key: str) -> str:
    """What a line of the history keeps of a finding's key: keys are long, and name objects."""
    return _digest([former_key(key)])[:12]


def append(file: Path, entry: HistoryEntry) -> None:
    """Append a line; concurrent runs do not mix theirs. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    append_line(file, msgspec.json.encode(entry) + b"\n")


def read(file: Path, cluster: str, most: int) -> list[HistoryEntry]:
    """The last runs of the cluster, the oldest first. Damaged lines are ignored.

    A FIFO or device has none. Raises OSError if the file exists and cannot be read.
    """
    if file.exists() and not file.is_file():
        return []
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - LARGEST))
            raw = stream.read()
    except FileNotFoundError:
        return []
    found = [entry for line in raw.split(b"\n") if (entry := _decoded(line)) is not None]
    if cluster:
        found = [entry for entry in found if entry.cluster == cluster]
    found = found[-most:]
    warn_of_ids((check for entry in found for check in entry.checks), str(file))
    return [_with_current_ids(entry) for entry in found]


def has_changed(before: HistoryEntry | None, now: HistoryEntry) -> bool:
    """Whether the change is worth a message. A healthy first run is not."""
    if before is None:
        return now.status != 0
    return (before.status, before.failing) != (now.status, now.failing)


def _decoded(line: bytes) -> HistoryEntry | None:
    try:
        return msgspec.json.decode(line, type=HistoryEntry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _with_current_ids(entry: HistoryEntry) -> HistoryEntry:
    checks = {current_id(check): outcome for check, outcome in entry.checks.items()}
    return replace(entry, checks=checks)


def _digest(keys: Iterable[str]) -> str:
    text = "\n".join(sorted(set(keys)))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16] if text else ""
