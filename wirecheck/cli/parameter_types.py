"""Types of options: what a user writes, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from wirecheck.run.durations import read_duration
from wirecheck.run.intervals import read_intervals
from wirecheck.run.report_mode import read_mode
from wirecheck.run.shard import Shard, read_shard
from wirecheck.run.target_version import read_target_version

if TYPE_CHECKING:
    from wirecheck.report.delivery import Output

Value = TypeVar("Value")

PATH = click.Path(path_type=Path)


class Read(click.ParamType[Value], Generic[Value]):
    """Values that a function reads; its ValueError is the sentence for the user."""

    def __init__(self, name: str, read: Callable[[str], Value]) -> None:
        self.name = name
        self._read = read

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Value:
        """Parse the text. A default is not a text, and is returned unchanged."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _read_output(text: str) -> Output:
    from wirecheck.report.delivery import read_output

    return read_output(text)


DURATION: Read[float] = Read("TIME", read_duration)
INTERVALS: Read[tuple[float, ...]] = Read("SECONDS,…", read_intervals)
OUTPUT: Read[Output] = Read("FORMAT[=PLACE]", _read_output)
VERSION: Read[str] = Read("VERSION", read_target_version)
MODE: Read[int] = Read("MODE", read_mode)
SHARD: Read[Shard] = Read("K/N", read_shard)
