"""`wirecheck merge`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from wirecheck.console import ConsoleProgress
from wirecheck.merging import has_snapshot, merge, opened
from wirecheck.merging_results import merge_results, read_part
from wirecheck.report import terminal
from wirecheck.report_folder import ReportFolder
from wirecheck.request import Request
from wirecheck.run import perform
from wirecheck.verdict import FailOn

PATH = click.Path(path_type=Path)


@click.command("merge")
@click.argument("runs", type=PATH, nargs=-1, required=True)
@click.option("--report-dir", type=PATH, default="reports", show_default=True)
@click.option("--into", type=PATH, help="Keep the whole snapshot in this new folder.")
@click.option(
    "--fail-on", type=click.Choice(["fail", "warn", "never"]), default="fail", show_default=True
)
@click.option("--check", "-k", "globs", multiple=True, metavar="GLOB", help="Only these checks.")
def merge_runs(
    runs: Sequence[Path],
    *,
    report_dir: Path,
    into: Path | None,
    fail_on: FailOn,
    globs: Sequence[str],
) -> int:
    """Judge several runs over different nodes of one cluster as one.

    RUNS are folders of runs (with the snapshot that they keep) or snapshots. Where one of them is
    a results.jsonl alone, results are put together, and what lies between nodes is not compared.
    """
    if not all(has_snapshot(each) for each in runs):
        return _merge_results(runs, report_dir, into, fail_on, globs)
    with tempfile.TemporaryDirectory(prefix="wirecheck-") as scratch:
        whole = merge([opened(each) for each in runs], into or Path(scratch) / "merged")
        request = Request(snapshot=whole.path, report_dir=report_dir, fail_on=fail_on)
        results, folder = perform(request, globs, ConsoleProgress())
    terminal.show(results, Console(), folder / "report.html")
    return results.ended.status


def _merge_results(
    runs: Sequence[Path], report_dir: Path, into: Path | None, fail_on: FailOn, globs: Sequence[str]
) -> int:
    """Of runs that left no snapshot; what was judged then is not judged anew."""
    if into or globs:
        option = "--into" if into else "--check"
        raise click.UsageError(f"{option} is about snapshots, and not all of these have one.")
    results = merge_results([read_part(each) for each in runs], fail_on)
    folder = ReportFolder.create(report_dir, time.time()).finish(results)
    terminal.show(results, Console(), folder / "report.html")
    return results.ended.status
