"""`wirecheck merge`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from wirecheck.cli.console import ConsoleProgress
from wirecheck.cli.parameter_types import DURATION, PATH
from wirecheck.evaluation.verdict import FailOn
from wirecheck.report import terminal
from wirecheck.run.merge_results import merge_results, read_part
from wirecheck.run.merge_snapshots import expanded, has_snapshot, merge, opened
from wirecheck.run.report_folder import ReportFolder
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request, RequestError

POLL_SECONDS = 0.5


@click.command("merge")
@click.argument("runs", type=PATH, nargs=-1, required=True)
@click.option("--report-dir", type=PATH, default="reports", show_default=True)
@click.option("--into", type=PATH, help="Keep the whole snapshot in this new folder.")
@click.option(
    "--fail-on", type=click.Choice(["fail", "warn", "never"]), default="fail", show_default=True
)
@click.option("--parts", type=click.IntRange(1), help="Wait until there are so many runs.")
@click.option("--wait", type=DURATION, default=600.0, help="For at most so long: 90s, 10m.")
@click.option("--check", "-k", "globs", multiple=True, metavar="GLOB", help="Only these checks.")
def merge_runs(
    runs: Sequence[Path],
    *,
    report_dir: Path,
    into: Path | None,
    fail_on: FailOn,
    parts: int | None,
    wait: float,
    globs: Sequence[str],
) -> int:
    """Judge several runs over different nodes of one cluster as one.

    RUNS are folders of runs (with the snapshot that they keep), snapshots, or folders in which
    each share has a report folder of its own: of that the newest run counts. Where one of them is
    a results.jsonl alone, results are put together, and what lies between nodes is not compared.
    """
    found = _awaited(runs, parts, wait) if parts else expanded(runs)
    if not all(has_snapshot(each) for each in found):
        return _merge_results(found, report_dir, into, fail_on, globs)
    with tempfile.TemporaryDirectory(prefix="wirecheck-") as scratch:
        whole = merge([opened(each) for each in found], into or Path(scratch) / "merged")
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


def _awaited(runs: Sequence[Path], parts: int, seconds: float) -> list[Path]:
    """The runs, as soon as there are `parts` of them. Raises RequestError."""
    end = time.monotonic() + seconds
    while len(found := expanded(runs)) < parts:
        if time.monotonic() > end:
            raise RequestError(
                f"After {seconds:.0f} s there are {len(found)} of {parts} runs in "
                f"{', '.join(map(str, runs))}; see why the others did not end."
            )
        time.sleep(POLL_SECONDS)
    return found
