"""Runs checks, writes the reports and shows the result; how a run without results ends."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from wirecheck.cli.complaints import complain
from wirecheck.cli.console import ConsoleProgress
from wirecheck.report import terminal
from wirecheck.report.delivery import (
    Output,
    deliver_failure,
    failure_status,
    job_annotations,
    printed,
    status_of,
)
from wirecheck.report.registry import FORMATS
from wirecheck.results.exit_statuses import INCOMPLETE
from wirecheck.results.records import Results
from wirecheck.run.report_folder import UnwrittenError
from wirecheck.run.reported_run import ReportedRun, run_all
from wirecheck.run.request import SENTENCES, Request, RequestError
from wirecheck.run.request import status_of as error_status
from wirecheck.text import harmless


def perform_and_present(
    request: Request, globs: Sequence[str], outputs: Sequence[Output], verbosity: int = 0
) -> int:
    """Run the checks, write all reports, print the result; return the exit status."""
    progress = ConsoleProgress(verbosity=verbosity)
    try:
        run = ReportedRun(request, progress, outputs)
    except RequestError as error:
        if text := deliver_failure(outputs, str(error), progress.warn):
            click.echo(text, nl=False)
            return failure_status(outputs, error_status(error))
        raise
    try:
        run_all(run, globs)
    except BaseException as error:
        text = run.fail(error)
        if isinstance(error, UnwrittenError):
            _show(error.results, outputs)
        if text and isinstance(error, SENTENCES):
            click.echo(text, nl=False)
            return failure_status(outputs, error_status(error))
        raise
    assert run.results is not None
    try:
        run.deliver()
        page = run.folder / "report.html" if run.folder else None
        if verbosity < 0:
            _show_verdict(run.results, outputs)
        else:
            _show(run.results, outputs, page, request.kubectl_options)
    except KeyboardInterrupt:
        complain(f"Interrupted: the reports in {run.folder} are complete, others may be missing.")
        return INCOMPLETE
    except OSError as error:
        where = f"the reports are in {run.folder}"
        complain(f"Standard output cannot be written to: {error.strerror}; {where}.")
        return INCOMPLETE
    return status_of(run.results, outputs)


def _show_verdict(results: Results, outputs: Sequence[Output]) -> None:
    text = printed(results, outputs)
    click.echo(f"{harmless(results.ended.verdict)}\n" if text is None else text, nl=False)


def _show(
    results: Results,
    outputs: Sequence[Output],
    page: Path | None = None,
    kubectl_options: str = "",
) -> None:
    text = printed(results, outputs)
    if text is not None:
        click.echo(text, nl=False)
        return
    terminal.show(results, Console(), page, kubectl_options)
    for line in job_annotations(results):
        click.echo(line)


def answer_failure(words: Sequence[str], sentence: str, status: int) -> int:
    """Print what the command line's format says about a failure; return the exit status.

    The command line may be wrong itself: a monitoring system that calls wirecheck as a plugin gets
    its line all the same.
    """
    outputs = _printed_outputs(words)
    click.echo(deliver_failure(outputs, sentence, complain), nl=False)
    return failure_status(outputs, status)


def failure_status_for(words: Sequence[str], status: int) -> int:
    """The exit status of a command line that ended without results."""
    return failure_status(_printed_outputs(words), status)


def _printed_outputs(words: Sequence[str]) -> list[Output]:
    """The printed outputs among the words of a command line."""
    values = [value for option, value in itertools.pairwise(words) if option in ("-o", "--output")]
    for start in ("-o=", "-o", "--output="):
        values += [word.removeprefix(start) for word in words if word.startswith(start)]
    outputs = [Output(FORMATS[value]) for value in values if value in FORMATS]
    return [output for output in outputs if output.is_printed]
