"""Options that `python -m testbed.faults` and `python -m testbed.networks` share."""

from __future__ import annotations

import click

REST = click.option(
    "--rest/--no-rest",
    default=True,
    show_default=True,
    help="Before each fault, wait until nothing has changed for a while: else runs take longer.",
)
MARKDOWN = click.option(
    "--markdown", type=click.Path(exists=True), help="Put the rows into this page of the docs."
)
