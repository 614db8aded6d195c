"""`-o` of `wirecheck run`: which reports are written where, and what is on the screen."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from wirecheck.cli.console import ConsoleProgress, complain
from wirecheck.evaluation.verdict import INCOMPLETE
from wirecheck.report import sonobuoy, terminal
from wirecheck.report.delivery import (
    Output,
    deliver,
    deliver_failure,
    failure_status,
    job_annotations,
    printed,
    read_output,
    status_of,
)
from wirecheck.report.registry import FORMATS
from wirecheck.results.records import Results
from wirecheck.run.previous_run import has_changed
from wirecheck.run.report_folder import UnwrittenError
from wirecheck.run.request import SENTENCES, Request
from wirecheck.run.request import status_of as error_status
from wirecheck.run.round import Progress
from wirecheck.run.session import perform
from wirecheck.run.sonobuoy_progress import PORT, SonobuoyProgress


class OutputType(click.ParamType[Output]):
    """`junit=FILE`, or a format alone."""

    name = "FORMAT[=PLACE]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Output:
        """Read it; click tells the user what is wrong with it."""
        try:
            return value if isinstance(value, Output) else read_output(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `-o`; the command gets `outputs`."""
    return click.option(
        "--output",
        "-o",
        "outputs",
        type=OutputType(),
        multiple=True,
        callback=_one_on_the_screen,
        help=f"Another report: {', '.join(FORMATS)}; without =FILE on standard output.",
    )(command)


def perform_and_present(request: Request, globs: Sequence[str], outputs: Sequence[Output]) -> int:
    """Run, write everything, show the screen; returns the exit status."""
    console = ConsoleProgress()
    sidecar = _sidecar(outputs, console)
    progress: Progress = sidecar or console
    try:
        results, folder = perform(request, globs, progress)
    except UnwrittenError as error:
        # What was found is not lost: it goes wherever else it was asked for.
        deliver(error.results, outputs, progress.say)
        _show(error.results, outputs)
        raise
    except BaseException as error:
        sentence = str(error) if isinstance(error, SENTENCES) else "wirecheck was ended."
        text = deliver_failure(outputs, sentence, progress.say)
        if text and isinstance(error, SENTENCES):
            click.echo(text, nl=False)
            return failure_status(outputs, error_status(error))
        raise
    if sidecar:
        sidecar.ended(results)
    try:
        return _present(results, folder, request, outputs, progress)
    except KeyboardInterrupt:
        complain(f"Interrupted: the reports in {folder} are whole, others may be missing.")
        return INCOMPLETE
    except OSError as error:
        complain(f"The screen cannot be written to: {error.strerror}; the reports are in {folder}.")
        return INCOMPLETE


def _present(
    results: Results,
    folder: Path,
    request: Request,
    outputs: Sequence[Output],
    progress: Progress,
) -> int:
    """Write the further reports and show the screen; returns the exit status."""
    changed = has_changed(results, folder, request)
    deliver(results, outputs, progress.say, changed=changed, page=str(folder / "report.html"))
    _show(results, outputs, folder / "report.html")
    return status_of(results, outputs)


def _show(results: Results, outputs: Sequence[Output], page: Path | None = None) -> None:
    text = printed(results, outputs)
    if text is not None:
        click.echo(text, nl=False)
        return
    terminal.show(results, Console(), page)
    for line in job_annotations(results):
        click.echo(line)


def _one_on_the_screen(
    _context: click.Context, _parameter: click.Parameter, outputs: tuple[Output, ...]
) -> tuple[Output, ...]:
    shown = [output.format.name for output in outputs if output.is_printed]
    if shown[1:]:
        raise click.BadParameter(f"only one can be printed, not {' and '.join(shown)}; name a FILE")
    return outputs


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


def _sidecar(outputs: Sequence[Output], inner: Progress) -> SonobuoyProgress | None:
    """Sonobuoy's, where this is one of its plugins."""
    port = os.environ.get(PORT, "")
    is_plugin = port.isdecimal() and any(output.format.name == sonobuoy.NAME for output in outputs)
    return SonobuoyProgress(inner, port) if is_plugin else None
