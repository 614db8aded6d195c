"""The command line of the policy referee."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import asdict

import click

from testbed.policy_referee.comparing import Disagreement, Oracle, disagreements, shrunk
from testbed.policy_referee.oracles import ANALYZER, NAMES, started
from testbed.policy_referee.random_clusters import random_cluster
from testbed.state import state

MOST_SHOWN = 3
SEED = 20261130


@click.command()
@click.option("--clusters", default=200, show_default=True, help="How many random clusters.")
@click.option("--seed", default=SEED, show_default=True, help="Of the first cluster.")
@click.option(
    "--oracle",
    type=click.Choice(NAMES),
    default=ANALYZER,
    show_default=True,
    help="The program that evaluates them, too; the others are built from Go modules.",
)
@click.option("--seconds", default=0.0, help="Stop after so many; 0 for no limit.")
def main(clusters: int, seed: int, oracle: str, seconds: float) -> None:
    """Let another program evaluate random NetworkPolicies; exit with 1 if it differs."""
    with started(oracle, state()) as ask:
        different = _compared(ask, oracle, range(seed, seed + clusters), seconds)
    sys.exit(1 if different else 0)


def _compared(ask: Oracle, oracle: str, seeds: range, seconds: float) -> int:
    tally: Counter[str] = Counter()
    different = done = 0
    end = time.monotonic() + seconds
    for seed in seeds:
        cluster = random_cluster(seed, oracle=oracle)
        found = next(disagreements(cluster, ask, tally), None)
        done += 1
        if found is not None:
            different += 1
            if different <= MOST_SHOWN:
                _show(shrunk(found, ask))
        if seconds and time.monotonic() > end:
            break
    counted = ", ".join(f"{number:,} {what}" for what, number in sorted(tally.items()))
    click.echo(
        f"{oracle}: {done:,} clusters from seed {seeds.start}, {different:,} with a disagreement; "
        f"connections: {counted}"
    )
    return different


def _show(found: Disagreement) -> None:
    click.echo(f"Seed {found.cluster.seed}: expected {found.expected}, oracle {found.oracle}")
    click.echo(json.dumps(asdict(found), indent=1))
