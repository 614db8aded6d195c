"""`wirecheck merge`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from wirecheck.console import ConsoleProgress
from wirecheck.merging import merge, opened
from wirecheck.report import terminal
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

    RUNS are folders of runs (with the snapshot that they keep) or snapshots.
    """
    with tempfile.TemporaryDirectory(prefix="wirecheck-") as scratch:
        whole = merge([opened(each) for each in runs], into or Path(scratch) / "merged")
        request = Request(snapshot=whole.path, report_dir=report_dir, fail_on=fail_on)
        results, folder = perform(request, globs, ConsoleProgress())
    terminal.show(results, Console(), folder / "report.html")
    return results.ended.status
