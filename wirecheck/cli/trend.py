"""`wirecheck trend`: the last runs of a cluster, in the terminal or as a page."""

from __future__ import annotations

from pathlib import Path

import click

from wirecheck.cli.page_output import TEXT_JSON_OR_PAGE, PageOutput
from wirecheck.cli.parameter_types import PATH


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
@TEXT_JSON_OR_PAGE
def trend(file: Path, cluster: str, runs: int, output: PageOutput) -> None:
    """Show how checks ended and what was measured over the last runs, from a history file."""
    from wirecheck.cli.trend_screen import show

    output.refuse()
    show(file, cluster, runs, output)
