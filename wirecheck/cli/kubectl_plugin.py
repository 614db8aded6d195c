"""`kubectl wirecheck`: the same command line as a plugin of kubectl, with its completion.

kubectl runs a program `kubectl-NAME` that it finds on PATH as the command NAME. Since 1.26 it asks
`kubectl_complete-NAME` for completions (k8s.io/kubectl/pkg/cmd/plugin/plugin_completion.go).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click
from click.shell_completion import ShellComplete

from wirecheck.cli import main as command_line

PROGRAM = "kubectl wirecheck"

NO_FILES, FILES = 4, 0
"""Whether the shell offers files as well: cobra's directives NoFileComp and Default."""


def main() -> None:
    """Run the command line; help and usage show what the user typed."""
    command_line.main(program=PROGRAM)


def complete() -> None:
    """Print the completions of the last argument as kubectl reads them."""
    for line in completions(sys.argv[1:]):
        click.echo(line)


def completions(words: Sequence[str]) -> Iterator[str]:
    """Yield each completion with its description after a tab, then a line with the directive.

    The last word is the one that is being typed, and may be empty.
    """
    *before, typed = words or [""]
    shell = ShellComplete(command_line.wirecheck, {}, PROGRAM, "")
    found = shell.get_completions(before, typed)
    for each in found:
        if each.type == "plain":
            yield f"{each.value}\t{each.help}" if each.help else each.value
    takes_files = any(each.type in ("file", "dir") for each in found)
    yield f":{FILES if takes_files else NO_FILES}"
