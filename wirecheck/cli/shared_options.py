"""Options that several commands have."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from wirecheck.cli import completion
from wirecheck.cli.parameter_types import MODE, PATH

Command = TypeVar("Command", bound=Callable[..., Any])

REPORT_DIR = click.option(
    "--report-dir", type=PATH, default="reports", show_default=True, help="Where reports go."
)
REPORT_MODE = click.option(
    "--report-mode",
    type=MODE,
    default="0700",
    show_default=True,
    help="Who may read the report's folder: 0750 for a collector in its group.",
)
FAIL_ON = click.option(
    "--fail-on",
    type=click.Choice(["fail", "flaky", "warn", "never"]),
    default="fail",
    show_default=True,
    help="What fails the run. Each value includes those before it.",
)
CHECKS = click.option(
    "--check",
    "-k",
    "globs",
    multiple=True,
    metavar="GLOB",
    shell_complete=completion.checks,
    help="Only these checks: dns, pods.*.",
)
TEXT_OR_JSON = click.option(
    "--output",
    "-o",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How it is printed.",
)
CONTEXT = click.option(
    "--context",
    metavar="NAME",
    help="Context of the kubeconfig.",
    shell_complete=completion.contexts,
)
KUBECONFIG = click.option(
    "--kubeconfig", type=PATH, help="Default: the inventory's, then $KUBECONFIG.", is_eager=True
)


def cluster_options(command: Command) -> Command:
    """Which cluster: the same options for every command that reads one."""
    inventory = click.option("--inventory", "-i", type=PATH, help="Access, thresholds, waivers.")
    for decorate in (CONTEXT, KUBECONFIG, inventory):
        command = decorate(command)
    return command


def verbosity_options(command: Command) -> Callable[..., Any]:
    """Add `-v` and `-q`. The command gets them as one number, `verbosity`."""

    @functools.wraps(command)
    def with_verbosity(*, quiet: bool, verbose: bool, **options: Any) -> Any:
        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose exclude each other.")
        return command(verbosity=int(verbose) - int(quiet), **options)

    for decorate in (
        click.option("--verbose", "-v", is_flag=True, help="Show every visit, on a terminal too."),
        click.option("--quiet", "-q", is_flag=True, help="Print warnings and the verdict only."),
    ):
        with_verbosity = decorate(with_verbosity)
    return with_verbosity
