"""`wirecheck trend`: the last runs of a cluster, in the terminal."""

from __future__ import annotations

from pathlib import Path

import click

from wirecheck.cli.parameter_types import PATH
from wirecheck.cli.shared_options import TEXT_OR_JSON


@click.command()
@click.argument("file", type=PATH, default=Path("reports/history.jsonl"))
@click.option("--cluster", default="", metavar="UID", help="Default: that of the last run.")
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="At most this many runs.",
)
@TEXT_OR_JSON
def trend(file: Path, cluster: str, runs: int, output: str) -> None:
    """Show how checks ended and what was measured over the last runs, from a history file."""
    from wirecheck.cli.trend_screen import show

    show(file, cluster, runs, output)
