"""`reports/<time>/`: the folder that a run leaves. Under its final name it is complete."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from wirecheck.report import html, junit
from wirecheck.report.delivery import Output, refuse_undeliverable
from wirecheck.report.format import DeliveryError
from wirecheck.report.trend import MOST_RUNS, trends
from wirecheck.results import history, jsonl
from wirecheck.results.records import Results
from wirecheck.run.report_mode import PRIVATE, set_mode
from wirecheck.run.report_retention import KEPT, PART, hold, prune, remove_abandoned
from wirecheck.run.request import Request, RequestError
from wirecheck.snapshot.folder import Snapshot, SnapshotError
from wirecheck.whole_file import refuse_unwritable, refuse_unwritable_folder, write_whole

SNAPSHOT = "snapshot"


class UnwrittenError(RequestError):
    """The run has results, but its folder could not be written: one sentence."""

    def __init__(self, sentence: str, results: Results) -> None:
        super().__init__(sentence)
        self.results = results


@dataclass(frozen=True, slots=True)
class ReportFolder:
    """A run's folder while it is filled, under a hidden name."""

    part: Path
    final: Path
    held: int
    """A descriptor whose lock shows other runs that this one is still running."""
    mode: int = PRIVATE
    """That of the finished folder; until then nobody else may read it."""

    @classmethod
    def create(
        cls,
        parent: Path,
        started: float,
        keep: int | None = None,
        spared: Path | None = None,
        mode: int = PRIVATE,
    ) -> ReportFolder:
        """Make a new folder in `parent`, named after the run's start. Raises RequestError.

        First it removes what killed runs left there and, if at most `keep` reports are to stay,
        the older ones except the one that contains `spared`. A disk that is full of reports then
        has room for the next one.
        """
        remove_abandoned(parent)
        if keep is not None:
            prune(parent, keep - 1, spared)
        name = datetime.fromtimestamp(started, tz=UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
            final = parent / f"{name}{suffix}"
            part = parent / f".{final.name}{PART}"
            if final.exists():
                continue
            try:
                parent.mkdir(parents=True, exist_ok=True)
                part.mkdir(PRIVATE)
            except FileExistsError:
                continue
            except OSError as error:
                raise _unwritable(parent, error) from None
            held = hold(part)
            if held is not None:
                return cls(part, final, held, mode)
        raise RequestError(f"{parent} has too many reports of {name}; name another --report-dir.")

    @property
    def snapshot(self) -> Path:
        """The folder for the snapshot of a live run."""
        return self.part / SNAPSHOT

    @property
    def next_snapshot(self) -> Path:
        """The folder for the snapshot when a live run checks the whole cluster again."""
        return self.part / f"{SNAPSHOT}-next"

    def take_next(self) -> None:
        """Replace the snapshot by the one that was taken last. Raises RequestError."""
        try:
            shutil.rmtree(self.snapshot)
            self.next_snapshot.rename(self.snapshot)
        except OSError as error:
            raise _unwritable(self.part, error) from None

    def drop_next(self) -> None:
        """Remove the snapshot that was taken last: it is incomplete, and the earlier one counts."""
        shutil.rmtree(self.next_snapshot, ignore_errors=True)

    def finish(self, results: Results, history_file: Path | None = None) -> Path:
        """Write every report, give the folder its final name, and return it.

        The page shows the earlier runs of the same cluster that `history_file` lists. Raises
        UnwrittenError.
        """
        now = history.entry_of(results, self.final)
        runs = [*_earlier(history_file, now.cluster), now]
        try:
            # results.jsonl first: every other report can be made from it again.
            write_whole(self.part / "results.jsonl", jsonl.render(results))
            write_whole(self.part / "junit.xml", junit.render(results))
            write_whole(self.part / "report.html", html.render(results, trends(runs)))
            set_mode(self.part, self.mode)
            self.part.rename(self.final)
        except OSError as error:
            raise UnwrittenError(str(_unwritable(self.part, error)), results) from None
        os.close(self.held)
        return self.final

    def abandon(self) -> Path | None:
        """Remove the folder. If it has at least one round, keep it instead and return it."""
        try:
            with contextlib.suppress(SnapshotError):
                if Snapshot.open(self.snapshot).index.looks:
                    return self.part.rename(self.part.with_suffix(KEPT))
            shutil.rmtree(self.part, ignore_errors=True)
            return None
        finally:
            with contextlib.suppress(OSError):  # an interrupt while it was finished
                os.close(self.held)


def refuse_unwritable_places(
    request: Request, outputs: Sequence[Output], *, has_folder: bool
) -> None:
    """Raise RequestError if a report of the run cannot be written, before anything is checked."""
    try:
        refuse_undeliverable(outputs)
    except DeliveryError as error:
        raise RequestError(str(error)) from None
    if has_folder:
        try:
            refuse_unwritable_folder(request.report_dir)
        except OSError as error:
            raise _unwritable(request.report_dir, error) from None
    # The folder of the reports is made by the run, and the history may be in it.
    if request.history and request.history.parent != request.report_dir:
        try:
            refuse_unwritable(request.history)
        except OSError as error:
            raise RequestError(_without_history(request.history, error)) from None


def add_to_history(results: Results, folder: Path, request: Request) -> str:
    """Append the run to the history. Return a sentence if that failed, else an empty string.

    A run that was cut short says little about the cluster, and leaves no line.
    """
    if results.ended.interrupted or not request.adds_to_history:
        return ""
    try:
        history.append(request.history_file, history.entry_of(results, folder))
    except OSError as error:
        return _without_history(request.history_file, error)
    return ""


def _without_history(file: Path, error: OSError) -> str:
    return (
        f"The history cannot be written to {file}: {error.strerror}; name another file with "
        "--history."
    )


def _earlier(file: Path | None, cluster: str) -> list[history.HistoryEntry]:
    try:
        return history.read(file, cluster, MOST_RUNS - 1) if file else []
    except OSError:
        # The page is complete without it, and writing to it reports the error.
        return []


def _unwritable(folder: Path, error: OSError) -> RequestError:
    return RequestError(
        f"The reports cannot be written to {folder}: {error.strerror}; name another folder with "
        "--report-dir."
    )
