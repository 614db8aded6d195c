"""The options of `wirecheck run` that decide whether the run fails."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import click

from wirecheck.cli.parameter_types import DURATION, PATH


class Gates(TypedDict):
    """The values of the options, by their names in `Request`."""

    baseline: Path | None
    force_baseline: bool
    wait: float
    history: Path | None


def gate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options. The command gets them as one argument, `gates`."""

    @functools.wraps(command)
    def gated(**options: Any) -> Any:
        gates = {name: options.pop(name) for name in Gates.__annotations__}
        return command(gates=gates, **options)

    for decorate in (
        click.option(
            "--history",
            metavar="FILE",
            type=PATH,
            help="Append a line about the run to FILE. Default for a live cluster: history.jsonl "
            "in --report-dir.",
        ),
        click.option(
            "--wait",
            type=DURATION,
            default=0.0,
            help="Check again until the cluster is healthy, for at most this long: 90s, 10m.",
        ),
        click.option(
            "--force-baseline",
            is_flag=True,
            help="Use the baseline even if it did not check everything.",
        ),
        click.option(
            "--baseline",
            metavar="RUN",
            type=PATH,
            help="An earlier run (results.jsonl, its folder, or a snapshot): only findings "
            "that are new since then fail.",
        ),
    ):
        gated = decorate(gated)
    return gated
