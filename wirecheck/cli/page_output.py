"""`-o` of commands that print text, JSON or a page, and can write it to a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from wirecheck.cli import completion
from wirecheck.cli.parameter_types import Read
from wirecheck.report.format_names import PAGE_FORMATS


@dataclass(frozen=True, slots=True)
class PageOutput:
    """One of the formats, and the file for it; without a file it is printed."""

    format: str
    file: Path | None = None

    def refuse(self) -> None:
        """Raise UsageError if the file cannot be written, before anything is read."""
        from wirecheck.whole_file import refuse_unwritable

        if self.file:
            try:
                refuse_unwritable(self.file)
            except OSError as error:
                raise click.UsageError(self._problem(error)) from None

    def put(self, text: str) -> None:
        """Print the text, or write it to the file. Raises UsageError."""
        from wirecheck.whole_file import write_whole

        if self.file is None:
            click.echo(text)
            return
        try:
            write_whole(self.file, text + "\n")
        except OSError as error:
            raise click.UsageError(self._problem(error)) from None

    def _problem(self, error: OSError) -> str:
        return f"{self.file} cannot be written: {error.strerror}."


def read_page_output(text: str) -> PageOutput:
    """Read `html`, `html=FILE` or `json=FILE`. Raises ValueError, a sentence."""
    name, equals, place = text.partition("=")
    if name not in PAGE_FORMATS:
        raise ValueError(f"unknown format {name!r}: choose {', '.join(PAGE_FORMATS)}.")
    if name == "text" and equals:
        raise ValueError("text goes to standard output only; write html=FILE or json=FILE.")
    if equals and not place:
        raise ValueError(f"{text} names no file; write {name}=FILE, or {name} alone.")
    return PageOutput(name, Path(place) if place else None)


TEXT_JSON_OR_PAGE = click.option(
    "--output",
    "-o",
    type=Read("text|json|html[=FILE]", read_page_output),
    default="text",
    show_default=True,
    shell_complete=completion.page_formats,
    help="How it is shown; json and html can go to a file.",
)
