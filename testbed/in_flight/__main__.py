"""`python -m testbed.in_flight`: changes from a seed during runs; no run may show a failure."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import click

from testbed.commands import TestbedError
from testbed.faults.prove import Prover, Seen
from testbed.in_flight.changes import Change, drawn, undo
from testbed.readiness import wait_until_at_rest

EARLIEST, LATEST = -3.0, 9.0
"""When a change is made, in seconds after the start of its run: a first round takes about six."""
MOST_AT_ONCE = 4
SETTLED = 90.0
"""Seconds of rest after a node restarted, before the next run."""


@dataclass(slots=True)
class Tally:
    """What all runs together showed."""

    runs: int = 0
    failed: int = 0
    flaky: int = 0
    broken: int = 0
    seconds: list[float] = field(default_factory=list)


@click.command()
@click.option("--changes", default=200, show_default=True, help="How many changes are made.")
@click.option("--seed", type=int, help="Draw the same changes again. Default: another one.")
@click.option("--minutes", default=90.0, show_default=True, help="Begin no further run then.")
def main(changes: int, seed: int | None, minutes: float) -> None:
    """Change the healthy cluster at random while it is checked; any failing check is an error."""
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    click.echo(f"seed {seed}")
    dice, prover, tally, made = random.Random(seed), Prover(), Tally(), 0
    end = time.monotonic() + 60 * minutes
    try:
        wait_until_at_rest()
        while made < changes and time.monotonic() < end:
            planned = plan(dice, changes - made)
            made += len(planned)
            _one_run(prover, tally, planned)
            if any(change.is_long for _, change in planned):
                wait_until_at_rest()
                time.sleep(SETTLED)
    finally:
        undo()
    click.echo(
        f"seed {seed}: {made} changes in {tally.runs} runs: {tally.failed} runs with a failing "
        f"check, {tally.flaky} flaky, {tally.broken} without results; "
        f"{sum(tally.seconds) / max(1, len(tally.seconds)):.1f} s a run"
    )
    sys.exit(1 if tally.failed or tally.broken or not tally.runs or made < changes else 0)


def plan(dice: random.Random, most: int) -> list[tuple[float, Change]]:
    """Draw the changes of one run with the seconds after its start, in order.

    A restart of a node is alone: nothing else can be changed at that node meanwhile.
    """
    drawn_ones = [drawn(dice) for _ in range(min(most, dice.randint(1, MOST_AT_ONCE)))]
    long = [each for each in drawn_ones if each.is_long]
    chosen = long[:1] or drawn_ones
    return sorted(((dice.uniform(EARLIEST, LATEST), each) for each in chosen), key=_when)


def _when(planned: tuple[float, Change]) -> float:
    return planned[0]


def _one_run(prover: Prover, tally: Tally, planned: Sequence[tuple[float, Change]]) -> None:
    """Run wirecheck while the changes are made, and count what it shows."""
    began = time.monotonic() - EARLIEST
    said: list[str] = []
    changer = threading.Thread(target=_make, args=(planned, began, said), daemon=True)
    changer.start()
    time.sleep(max(0.0, began - time.monotonic()))
    tally.runs += 1
    try:
        seen: Seen | None = prover.look_in_detail(f"in-flight-{tally.runs}")
    except TestbedError as error:
        seen = None
        said.append(f"  no results: {error}")
        tally.broken += 1
    changer.join()
    fails = sorted(red for red in seen.red if red[2] == "fail") if seen else []
    tally.failed += bool(fails)
    tally.flaky += bool(seen and seen.flaky)
    if seen:
        tally.seconds.append(seen.seconds)
        click.echo(f"run {tally.runs}: {seen.looks} rounds, {seen.seconds:.1f} s")
    for line in said:
        click.echo(line)
    for check, node, _ in fails:
        click.echo(f"  FAILED   {check}[{node or 'cluster'}], kept in {seen and seen.folder}")
    for check, node, _ in sorted(seen.flaky) if seen else ():
        click.echo(f"  flaky    {check}[{node or 'cluster'}]")


def _make(planned: Sequence[tuple[float, Change]], began: float, said: list[str]) -> None:
    """Make each change at its time. Report one that cannot be made, and go on."""
    for when, change in planned:
        time.sleep(max(0.0, began + when - time.monotonic()))
        at = time.monotonic() - began
        try:
            change.make()
        except TestbedError as error:
            said.append(f"  {at:+.1f} s: {change.name}: not made: {error}")
        else:
            said.append(f"  {at:+.1f} s: {change.name}")


if __name__ == "__main__":
    main()
