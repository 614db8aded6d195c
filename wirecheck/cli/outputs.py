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
from wirecheck.report import nagios, terminal
from wirecheck.results.records import Results
from wirecheck.run.outputs import (
    NAMES,
    SONOBUOY,
    Output,
    deliver,
    deliver_trouble,
    has_changed,
    job_annotations,
    printed,
    read_output,
    status_of,
)
from wirecheck.run.report_folder import UnwrittenError
from wirecheck.run.request import SENTENCES, Request
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
        help=f"Another report: {', '.join(NAMES)}; without =FILE on standard output.",
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
        said = deliver_trouble(outputs, sentence)
        if said and isinstance(error, SENTENCES):
            click.echo(said, nl=False)
            return nagios.UNKNOWN
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
    deliver(results, outputs, progress.say, changed=changed, report=str(folder / "report.html"))
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
    shown = [output.format for output in outputs if output.is_printed]
    if shown[1:]:
        raise click.BadParameter(f"only one can be printed, not {' and '.join(shown)}; name a FILE")
    return outputs


def asks_for_nagios(words: Sequence[str]) -> bool:
    """Whether a command line, however wrong the rest of it is, wants Nagios' line."""
    wanted = {"-onagios", "-o=nagios", "--output=nagios"}
    pairs = itertools.pairwise(words)
    return bool(wanted & set(words)) or any(
        option in ("-o", "--output") and value == "nagios" for option, value in pairs
    )


def _sidecar(outputs: Sequence[Output], inner: Progress) -> SonobuoyProgress | None:
    """Sonobuoy's, where this is one of its plugins."""
    port = os.environ.get(PORT, "")
    is_plugin = port.isdecimal() and any(output.format == SONOBUOY for output in outputs)
    return SonobuoyProgress(inner, port) if is_plugin else None
