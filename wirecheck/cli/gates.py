"""The options of `wirecheck run` that decide what fails it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import click

from wirecheck.run.durations import read_duration


class Gates(TypedDict):
    """What was given, by the names that `Request` has for it."""

    baseline: Path | None
    force_baseline: bool
    wait: float
    history: Path | None


class Duration(click.ParamType[float]):
    """Seconds, written as 90s, 10m or 1h30m."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it; click tells the user what is wrong with it."""
        try:
            return value if isinstance(value, float) else read_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def gate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets them as one argument, `gates`."""

    @functools.wraps(command)
    def gated(**options: Any) -> Any:
        gates = {name: options.pop(name) for name in Gates.__annotations__}
        return command(gates=gates, **options)

    for decorate in (
        click.option(
            "--history",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Append a line to it; else, for a live cluster, to history.jsonl of --report-dir.",
        ),
        click.option(
            "--wait",
            type=Duration(),
            default=0.0,
            help="Look again at what is red until it is healthy, for at most 10m.",
        ),
        click.option(
            "--force-baseline",
            is_flag=True,
            help="Take the baseline though it could not look at everything.",
        ),
        click.option(
            "--baseline",
            metavar="RUN",
            type=click.Path(path_type=Path),
            help="An earlier run (results.jsonl, its folder, a snapshot): only what is new fails.",
        ),
    ):
        gated = decorate(gated)
    return gated
