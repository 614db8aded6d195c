"""`wirecheck list`, `explain` and `node-commands`: what is checked, and what runs on nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from wirecheck.catalogue.node_commands import NODE_COMMANDS
from wirecheck.catalogue.pages import as_text, commands_of
from wirecheck.catalogue.profiles import PROFILES, profiles_of
from wirecheck.catalogue.registry import Check, load
from wirecheck.catalogue.remedies import general
from wirecheck.cli.shared_options import TEXT_OR_JSON
from wirecheck.run.selection import in_profile, named


@click.command("list")
@TEXT_OR_JSON
@click.option(
    "--profile", type=click.Choice(list(PROFILES)), help="Only the checks of this profile."
)
@click.option("--long", "-l", is_flag=True, help="Also profiles, cost and commands.")
def list_checks(output: str, profile: str | None, long: bool) -> None:
    """List the checks."""
    checks = in_profile(load(), profile)
    if output == "json":
        raw = msgspec.json.encode([_as_record(check) for check in checks])
        click.echo(msgspec.json.format(raw, indent=1).decode())
        return
    width = max(len(check.id) for check in checks)
    for check in checks:
        settles = " (checks again before it fails)" if check.settles else ""
        click.echo(f"{check.id:{width}}  {check.scope:7}  {check.sentence}{settles}")
        for line in _details(check) if long else ():
            click.echo(f"    {line}")


@click.command()
@click.argument("check")
def explain(check: str) -> None:
    """Explain a check: what it asserts, why it matters, how it is measured, what to do."""
    click.echo(as_text(named(load(), check)))


@click.command("node-commands")
def node_commands() -> None:
    """Print every command that may run on a node. No others can."""
    for each in NODE_COMMANDS:
        click.secho(" ".join(each.argv), bold=True)
        click.echo(f"  why: {each.why}\n  only if: {each.when}.")


def _details(check: Check) -> Sequence[str]:
    needs = [fact.measured for fact in check.facts]
    lines = [f"profiles: {', '.join(profiles_of(check.id)) or 'none'}"]
    lines += [f"needs: {each.what}; cost: {each.cost}" for each in needs]
    lines += [f"sends: {each.sends}" for each in needs if each.sends]
    lines += [f"runs: {command}" for command in commands_of(check)]
    return lines


def _as_record(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "sentence": check.sentence,
        "why": check.why,
        "remedy": general(check.remedy),
        "scope": check.scope,
        "settles": check.settles,
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
