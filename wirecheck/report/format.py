"""A report format: how it is rendered, where it is written, what replaces missing results."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wirecheck.results.records import Results
from wirecheck.whole_file import refuse_unwritable, write_whole


@dataclass(frozen=True, slots=True)
class Destination:
    """The destination of a report."""

    place: str
    """The file, folder or URL that the user named; empty if none."""
    environment: Mapping[str, str]
    page: str = ""
    """The run's `report.html`, for a link; empty if there is none."""


def write_file(text: str, destination: Destination) -> None:
    """Replace the named file, or write into what is not a regular file. Raises OSError."""
    write_whole(Path(destination.place), text)


def refuse_file(destination: Destination) -> None:
    """Raise OSError if the named file cannot be written."""
    if destination.place.endswith("/"):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), destination.place)
    refuse_unwritable(Path(destination.place))


@dataclass(frozen=True, slots=True)
class Format:
    """A format that `-o` accepts. `registry.FORMATS` lists them all."""

    name: str
    render: Callable[[Results], str]
    """Returns the complete text."""
    render_failure: Callable[[str], str] | None = None
    """Returns the text of a run that ended without results, from the sentence with the reason.

    None: such a run delivers nothing.
    """
    write: Callable[[str, Destination], None] = write_file
    """Delivers a text. Raises OSError or DeliveryError."""
    refuse: Callable[[Destination], None] = refuse_file
    """Raises what `write` would raise, as far as that is known before the run."""
    has_default_place: bool = False
    """Whether it has a default destination. Other formats are printed if none is given."""
    only_changes: bool = False
    """Whether it is delivered only if the cluster has changed since the previous run."""
    exit_status: Callable[[Results | None], int] | None = None
    """The exit status of a run that prints this format, also of one without results.

    None: the status of the run stays.
    """


class DeliveryError(Exception):
    """A report did not reach its destination: one sentence, without secrets."""
