"""`python -m testbed.man_pages`: a manual page for each command, in the folder man/.

The wheel takes the folder as share/man/man1, where man, and pipx for the user's man, find it.
click-man, the usual generator, cuts sentences at 45 characters and escapes neither backslashes nor
lines that begin with a dot.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from wirecheck import __version__
from wirecheck.cli.main import EPILOG, PROGRAM, wirecheck

FOLDER = Path(__file__).parents[1] / "man"
_KEPT_LINES = "\b"
"""What click puts before a paragraph whose lines must stay."""


def pages() -> dict[str, str]:
    """The text of each page by the name of its file."""
    return {f"{'-'.join(words)}.1": text for words, text in _pages(wirecheck, (PROGRAM,), None)}


def _pages(
    command: click.Command, words: tuple[str, ...], parent: click.Context | None
) -> Iterator[tuple[tuple[str, ...], str]]:
    settings = command.context_settings
    with click.Context(command, info_name=words[-1], parent=parent, **settings) as context:
        yield words, page(context, words)
        if isinstance(command, click.Group):
            for name, each in command.commands.items():
                if not each.hidden:
                    yield from _pages(each, (*words, name), context)


def page(context: click.Context, words: Sequence[str]) -> str:
    """The page of one command, in the macros of man(7)."""
    command = context.command
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.TH "{escaped("-".join(words).upper())}" 1 "" "{PROGRAM} {__version__}" "{PROGRAM}"',
        ".SH NAME",
        f"{escaped('-'.join(words))} \\- {escaped(_sentence(command).rstrip('.'))}",
        ".SH SYNOPSIS",
        f"\\fB{escaped(' '.join(words))}\\fR {escaped(usage)}",
        ".SH DESCRIPTION",
        *_prose(command.help or ""),
        *_options(command, context),
        *_commands(command, words),
        *_endings(),
        *_see_also(words),
    ]
    return "\n".join(lines) + "\n"


def _sentence(command: click.Command) -> str:
    return command.get_short_help_str(1000)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    yield ".SH OPTIONS"
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            usage, explanation = record
            yield from (".TP", f"\\fB{escaped(usage)}\\fR", *_prose(explanation))


def _commands(command: click.Command, words: Sequence[str]) -> Iterator[str]:
    if not isinstance(command, click.Group):
        return
    yield ".SH COMMANDS"
    for name, each in command.commands.items():
        if not each.hidden:
            title = f"\\fB{escaped('-'.join((*words, name)))}\\fR(1)"
            yield from (".TP", title, escaped(_sentence(each)))


def _endings() -> Iterator[str]:
    """The paragraphs of the epilog, `Title: text`, as sections of their own."""
    for paragraph in _paragraphs(EPILOG):
        title, _, text = paragraph.partition(": ")
        yield from (f".SH {title.upper()}", escaped(text))


def _see_also(words: Sequence[str]) -> Iterator[str]:
    """The command above; its own are listed already."""
    if len(words) > 1:
        yield from (".SH SEE ALSO", f"\\fB{escaped('-'.join(words[:-1]))}\\fR(1)")


def _prose(text: str) -> Iterator[str]:
    """Paragraphs of help; those whose lines must stay are not filled."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", inspect.cleandoc(text))):
        if number:
            yield ".PP"
        if paragraph.startswith(_KEPT_LINES):
            kept = paragraph.removeprefix(_KEPT_LINES).strip("\n").splitlines()
            yield from (".nf", *map(escaped, kept), ".fi")
        else:
            yield escaped(" ".join(paragraph.split()))


def _paragraphs(text: str) -> list[str]:
    return [" ".join(each.split()) for each in re.split(r"\n\s*\n", inspect.cleandoc(text))]


def escaped(text: str) -> str:
    """The text as man shows it: no line of it is a request, and a hyphen can be pasted."""
    shown = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return f"\\&{shown}" if shown.startswith((".", "'")) else shown


@click.command()
def main() -> None:
    """Write the pages, and remove those of commands that no longer exist."""
    FOLDER.mkdir(exist_ok=True)
    made = pages()
    for old in FOLDER.glob("*.1"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text)
    click.echo(f"{len(made)} pages in {FOLDER}")


if __name__ == "__main__":
    main()
