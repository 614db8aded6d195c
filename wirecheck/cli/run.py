"""`wirecheck run`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wirecheck.catalogue.profiles import PROFILES
from wirecheck.cli import completion
from wirecheck.cli.gates import Gates, gate_options
from wirecheck.cli.output_options import output_options
from wirecheck.cli.parameter_types import INTERVALS, PATH, SHARD, VERSION
from wirecheck.cli.renamed_options import RenamedOptions
from wirecheck.cli.shared_options import (
    CHECKS,
    FAIL_ON,
    REPORT_DIR,
    REPORT_MODE,
    cluster_options,
    verbosity_options,
)

if TYPE_CHECKING:
    from wirecheck.evaluation.verdict import FailOn
    from wirecheck.report.delivery import Output
    from wirecheck.run.shard import Shard


@click.command(cls=RenamedOptions)
@cluster_options
@click.option(
    "--snapshot",
    type=PATH,
    is_eager=True,
    help="Evaluate the snapshot of an earlier run, without a cluster.",
)
@REPORT_DIR
@REPORT_MODE
@click.option(
    "--keep", type=click.IntRange(min=1), help="Remove all but the newest N reports there."
)
@FAIL_ON
@verbosity_options
@gate_options
@output_options
@CHECKS
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    help="Only the checks of this profile; see `wirecheck list --long`.",
)
@click.option(
    "--target-version",
    type=VERSION,
    help="Leave out deprecations that a later version of Kubernetes brings: 1.40.",
)
@click.option(
    "--dns-rate",
    type=click.FloatRange(min=0, min_open=True),
    help="DNS queries per second, over the whole cluster.",
)
@click.option(
    "--node",
    "nodes",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.nodes,
    help="Visit and evaluate only this node; a glob, and repeatable.",
)
@click.option(
    "--namespace",
    "-n",
    "namespaces",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.namespaces,
    help="Count only findings about objects of this namespace, and about nodes; a glob, and "
    "repeatable.",
)
@click.option("--shard", type=SHARD, help="Visit only shard K of N; /N in an Indexed Job.")
@click.option("--rounds", type=click.IntRange(1, 6), help="Maximum number of rounds.")
@click.option(
    "--round-intervals", type=INTERVALS, help="Pauses before the second, third … round: 10,30."
)
@click.option(
    "--helper-pods",
    is_flag=True,
    help="Create a pod on each node for the run, to send large payloads between all nodes.",
)
def run(
    *,
    snapshot: Path | None,
    report_dir: Path,
    report_mode: int,
    keep: int | None,
    globs: Sequence[str],
    profile: str | None,
    target_version: str | None,
    rounds: int | None,
    round_intervals: tuple[float, ...] | None,
    dns_rate: float | None,
    nodes: tuple[str, ...],
    namespaces: tuple[str, ...],
    shard: Shard | None,
    helper_pods: bool,
    fail_on: FailOn,
    gates: Gates,
    verbosity: int,
    outputs: Sequence[Output],
    **cluster: Any,
) -> int:
    """Check a cluster, or a snapshot of one, and report what is wrong with it."""
    from wirecheck.cli.outputs import perform_and_present
    from wirecheck.run.request import Request

    request = Request(
        snapshot=snapshot,
        report_dir=report_dir,
        report_mode=report_mode,
        keep=keep,
        profile=profile,
        target_version=target_version,
        fail_on=fail_on,
        dns_rate=dns_rate,
        nodes=nodes,
        namespaces=namespaces,
        shard=shard,
        rounds=rounds,
        round_intervals=round_intervals,
        helper_pods=helper_pods,
        **gates,
        **cluster,
    )
    return perform_and_present(request, globs, outputs, verbosity)
