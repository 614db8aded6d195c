"""The options of `wirecheck run` that decide what fails it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import click


class Gates(TypedDict):
    """What was given, by the names that `Request` has for it."""

    baseline: Path | None
    force_baseline: bool


def gate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets them as one argument, `gates`."""

    @functools.wraps(command)
    def gated(**options: Any) -> Any:
        gates = {name: options.pop(name) for name in Gates.__annotations__}
        return command(gates=gates, **options)

    for decorate in (
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
