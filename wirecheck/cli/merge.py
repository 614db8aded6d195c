"""`wirecheck merge`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wirecheck.cli.parameter_types import DURATION, PATH
from wirecheck.cli.shared_options import (
    CHECKS,
    FAIL_ON,
    REPORT_DIR,
    REPORT_MODE,
    verbosity_options,
)
from wirecheck.text import harmless

if TYPE_CHECKING:
    from wirecheck.evaluation.verdict import FailOn
    from wirecheck.results.records import Results

POLL_SECONDS = 0.5


@click.command("merge")
@click.argument("runs", type=PATH, nargs=-1, required=True)
@REPORT_DIR
@REPORT_MODE
@click.option("--into", type=PATH, help="Keep the merged snapshot in this new folder.")
@FAIL_ON
@click.option("--parts", type=click.IntRange(1), help="Wait until there are this many runs.")
@click.option("--wait", type=DURATION, default=600.0, help="Wait at most this long: 90s, 10m.")
@CHECKS
@verbosity_options
def merge_runs(
    *,
    runs: Sequence[Path],
    report_dir: Path,
    report_mode: int,
    into: Path | None,
    fail_on: FailOn,
    parts: int | None,
    wait: float,
    globs: Sequence[str],
    verbosity: int,
) -> int:
    """Evaluate several runs over different nodes of one cluster as one run.

    RUNS are folders of runs (with their snapshot), snapshots, or folders in which each shard has
    a report folder of its own, of which the newest run counts. If one of them has only a
    results.jsonl, the results are merged, and nodes of different runs are not compared.
    """
    from wirecheck.cli.console import ConsoleProgress
    from wirecheck.run.merge_snapshots import expanded, has_snapshot, merge, opened
    from wirecheck.run.reported_run import perform
    from wirecheck.run.request import Request, RequestError
    from wirecheck.snapshot.folder import refuse_occupied

    if into:
        refuse_occupied(into)
    found = _awaited(runs, parts, wait) if parts else expanded(runs)
    if not found:
        raise RequestError(
            f"No run found in {', '.join(map(str, runs))}. Name folders of runs or snapshots, "
            "or a folder in which each shard has a report folder of its own."
        )
    if not all(has_snapshot(each) for each in found):
        if into or globs:
            option = "--into" if into else "--check"
            raise click.UsageError(f"{option} needs a snapshot of every run, and some have none.")
        results, folder = _merged_results(found, report_dir, report_mode, fail_on)
        return _shown(results, folder, verbosity)
    with tempfile.TemporaryDirectory(prefix="wirecheck-") as scratch:
        merged = merge([opened(each) for each in found], into or Path(scratch) / "merged")
        request = Request(
            snapshot=merged.path, report_dir=report_dir, report_mode=report_mode, fail_on=fail_on
        )
        results, folder = perform(request, globs, ConsoleProgress(verbosity=verbosity))
    return _shown(results, folder, verbosity)


def _shown(results: Results, folder: Path, verbosity: int) -> int:
    """Print the results; return the exit status."""
    from rich.console import Console

    from wirecheck.report import terminal

    if verbosity < 0:
        click.echo(harmless(results.ended.verdict))
    else:
        terminal.show(results, Console(), folder / "report.html")
    return results.ended.status


def _merged_results(
    runs: Sequence[Path], report_dir: Path, report_mode: int, fail_on: FailOn
) -> tuple[Results, Path]:
    """Merge the results of runs of which not all have a snapshot. Nothing is evaluated again."""
    from wirecheck.run.merge_results import merge_results, read_part
    from wirecheck.run.report_folder import ReportFolder

    results = merge_results([read_part(each) for each in runs], fail_on)
    folder = ReportFolder.create(report_dir, time.time(), mode=report_mode)
    return results, folder.finish(results)


def _awaited(runs: Sequence[Path], parts: int, seconds: float) -> list[Path]:
    """Wait until there are `parts` runs and return them. Raises RequestError."""
    from wirecheck.run.merge_snapshots import expanded
    from wirecheck.run.request import RequestError

    end = time.monotonic() + seconds
    while len(found := expanded(runs)) < parts:
        if time.monotonic() > end:
            raise RequestError(
                f"After {seconds:.0f} s there are {len(found)} of {parts} runs in "
                f"{', '.join(map(str, runs))}. Find out why the others have not ended."
            )
        time.sleep(POLL_SECONDS)
    return found
