"""Options that several commands have."""

from __future__ import annotations

import click

from wirecheck.cli.parameter_types import PATH

REPORT_DIR = click.option(
    "--report-dir", type=PATH, default="reports", show_default=True, help="Where reports go."
)
FAIL_ON = click.option(
    "--fail-on",
    type=click.Choice(["fail", "warn", "never"]),
    default="fail",
    show_default=True,
    help="What fails the run.",
)
TEXT_OR_JSON = click.option(
    "--output",
    "-o",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How it is printed.",
)
