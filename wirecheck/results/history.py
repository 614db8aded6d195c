"""One line for each run, to see how a cluster is over time: `history.jsonl`."""

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

NAME = "history.jsonl"
LARGEST = 64 << 20
"""Bytes that are read, from the end: some ten thousand runs."""


class Entry(Struct, frozen=True, omit_defaults=True):
    """One run. Fields of later versions are passed over."""

    time: str
    cluster: str
    """The uid; the context where the uid is not known."""
    status: int
    verdict: str
    counts: dict[str, int] = {}
    checks: dict[str, str] = {}
    """How each check ended, at its worst."""
    measured: dict[str, float] = {}
    red: str = ""
    """A digest of the keys of all that fails: the same as long as the same things do."""
    report: str = ""
    """The folder of the run."""


def entry_of(results: Results, report: Path) -> Entry:
    """The line of a run."""
    started, ended = results.started, results.ended
    return Entry(
        time=started.time,
        cluster=started.cluster.uid or started.cluster.name,
        status=ended.status,
        verdict=ended.verdict,
        counts=ended.counts,
        checks={check.record.id: str(check.outcome) for check in by_check(results)},
        measured=ended.measured,
        # With former ids, so that the renaming of checks is not reported as a change.
        red=_digest(
            former_key(finding.key)
            for item in results.items
            for finding in item.findings
            if finding.level is not Level.WARN and finding.standing in ("", "new")
        ),
        report=str(report),
    )


def append(file: Path, entry: Entry) -> None:
    """Add a line, in one write, so that runs side by side do not tear each other's. OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "r+b", buffering=0) as stream:
        line = msgspec.json.encode(entry) + b"\n"
        if _is_torn(descriptor):
            line = b"\n" + line
        stream.write(line)


def read(file: Path, cluster: str, most: int) -> list[Entry]:
    """The last runs of the cluster, the oldest first. Lines that are none are passed over.

    Raises OSError where there is a file that cannot be read.
    """
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


def has_changed(before: Entry | None, now: Entry) -> bool:
    """Whether someone should be told: a first run that is well is no news."""
    if before is None:
        return now.status != 0
    return (before.status, before.red) != (now.status, now.red)


def _is_torn(descriptor: int) -> bool:
    """Whether the file ends within a line: a run died while it wrote."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _decoded(line: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(line, type=Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _with_current_ids(entry: Entry) -> Entry:
    checks = {current_id(check): outcome for check, outcome in entry.checks.items()}
    return replace(entry, checks=checks)


def _digest(keys: Iterable[str]) -> str:
    told = "\n".join(sorted(set(keys)))
    return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()[:16] if told else ""
