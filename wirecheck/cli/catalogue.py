"""`wirecheck list`, `explain` and `node-commands`: what is checked, and what runs on nodes."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from wirecheck.catalogue.profiles import PROFILES, profiles_of
from wirecheck.cli import completion
from wirecheck.cli.shared_options import TEXT_OR_JSON

if TYPE_CHECKING:
    from wirecheck.catalogue.registry import Check
    from wirecheck.cli.check_outlines import Outline

NARROW = 30
"""Columns that a sentence needs beside the id; with fewer it goes below."""


@click.command("list")
@click.argument("words", nargs=-1, metavar="[WORD]...", shell_complete=completion.checks)
@TEXT_OR_JSON
@click.option(
    "--profile", type=click.Choice(list(PROFILES)), help="Only the checks of this profile."
)
@click.option("--long", "-l", is_flag=True, help="Also scope, profiles, cost and commands.")
def list_checks(words: Sequence[str], output: str, profile: str | None, long: bool) -> None:
    """List the checks, or those that match a WORD.

    A WORD is a glob (services.*), a group (dns), or a word of the id or the sentence (mtu).
    """
    shown = matching(words, profile)
    if output == "json":
        from wirecheck.cli.json_text import json_text

        click.echo(json_text([as_record(check) for check in loaded(shown)]))
        return
    details = {c.id: list(_details(c)) for c in loaded(shown)} if long else {}
    columns = shutil.get_terminal_size().columns
    for _, some in groupby(shown, key=lambda each: each.group):
        group = list(some)
        beside = max(len(each.id) for each in group) + 2
        for each in group:
            click.echo("\n".join(_entry(each, beside, columns)))
            for line in details.get(each.id, ()):
                click.echo(_wrapped(line, "    ", columns))


def matching(words: Sequence[str], profile: str | None) -> list[Outline]:
    """The outlines to show. Raises RequestError for a word that matches none."""
    from wirecheck.cli.check_outlines import in_profile, outlines, which_match

    known = in_profile(outlines(), profile)
    for word in words:
        if not which_match(known, [word]):
            from wirecheck.run.request import RequestError

            raise RequestError(f"No check matches `{word}`; `wirecheck list` shows them all.")
    return which_match(known, words) if words else known


def _entry(each: Outline, beside: int, columns: int) -> Iterator[str]:
    if columns - beside < NARROW:
        yield each.id
        yield _wrapped(each.sentence, "  ", columns)
        return
    first, *rest = textwrap.wrap(each.sentence, columns - beside)
    yield f"{each.id:{beside}}{first}"
    yield from (" " * beside + line for line in rest)


def _wrapped(text: str, indent: str, columns: int) -> str:
    return textwrap.fill(
        text,
        max(columns, len(indent) + 20),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def loaded(shown: Sequence[Outline]) -> list[Check]:
    """The checks of the outlines."""
    from wirecheck.catalogue.registry import load

    ids = {each.id for each in shown}
    return [check for check in load() if check.id in ids]


@click.command()
@click.argument("check", shell_complete=completion.checks)
def explain(check: str) -> None:
    """Explain a check: what it asserts, why it matters, how it is measured, what to do."""
    from wirecheck.catalogue.pages import as_text
    from wirecheck.catalogue.registry import load
    from wirecheck.run.selection import named

    click.echo(as_text(named(load(), check)))


WITHOUT_COMMANDS = (
    "\nEverything else is read without a command: files of /proc, /sys and /etc, the options of "
    "Cilium's endpoints in /run/cilium/state, netlink, and Cilium's eBPF maps with the system call "
    "bpf(2), which opens their pins read-only (BPF_F_RDONLY) and lists attached programs."
)


@click.command("node-commands")
def node_commands() -> None:
    """Print every command that may run on a node. No others can."""
    from wirecheck.catalogue.node_commands import NODE_COMMANDS

    for each in NODE_COMMANDS:
        click.secho(" ".join(each.argv), bold=True)
        click.echo(f"  why: {each.why}\n  only if: {each.when}.")
    click.echo(WITHOUT_COMMANDS)


def _details(check: Check) -> Sequence[str]:
    from wirecheck.catalogue.pages import commands_of

    needs = [fact.measured for fact in check.facts]
    scope = "each node" if check.scope == "node" else "the cluster"
    settles = "; checks again before it fails" * check.settles
    lines = [f"about: {scope}{settles}"]
    lines += [f"profiles: {', '.join(profiles_of(check.id)) or 'none'}"]
    lines += [f"needs: {each.what}; cost: {each.cost}" for each in needs]
    lines += [f"sends: {each.sends}" for each in needs if each.sends]
    lines += [f"runs: {command}" for command in commands_of(check)]
    return lines


def as_record(check: Check) -> dict[str, Any]:
    """What `list -o json` shows of a check."""
    from wirecheck.catalogue.pages import commands_of
    from wirecheck.catalogue.remedies import general

    return {
        "id": check.id,
        "sentence": check.sentence,
        "why": check.why,
        "remedy": general(check.remedy),
        "scope": check.scope,
        "settles": check.settles,
        "evidence": [each.name.lower() for each in check.evidence],
        "profiles": profiles_of(check.id),
        "facts": [fact.name.lower() for fact in check.facts],
        "commands": commands_of(check),
        "exceptions": check.exceptions,
        "sources": check.sources,
        "thresholds": [
            {"name": t.name, "default": t.default, "unit": t.unit, "reason": t.reason}
            for t in check.thresholds
        ],
    }
