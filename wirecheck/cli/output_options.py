"""`-o` of `wirecheck run`: further reports, and which one is printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from wirecheck.cli.completion import formats
from wirecheck.cli.parameter_types import OUTPUT
from wirecheck.report.format_names import FORMAT_NAMES


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `-o`; the command gets `outputs`."""
    return click.option(
        "--output",
        "-o",
        "outputs",
        type=OUTPUT,
        multiple=True,
        callback=_one_on_the_screen,
        shell_complete=formats,
        help=f"Another report: {', '.join(FORMAT_NAMES)}. Without =FILE it goes to standard "
        "output.",
    )(command)


def _one_on_the_screen(
    _context: click.Context, _parameter: click.Parameter, outputs: tuple[Any, ...]
) -> tuple[Any, ...]:
    shown = [output.format.name for output in outputs if output.is_printed]
    if shown[1:]:
        raise click.BadParameter(f"only one can be printed, not {' and '.join(shown)}; name a FILE")
    return outputs
