"""`python -m testbed.soak`: healthy runs, some while the cluster moves; none may be red.

Inconclusive objects are counted, because a run that evaluates nothing would be quiet as well.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext

import click

from testbed.faults.prove import Prover
from testbed.movements import MOVEMENTS, Movement, going_on, movements


@click.command()
@click.option("--runs", default=30, show_default=True)
@click.option("--moving", default=10, show_default=True, help="How many of them while it moves.")
@click.option("--only", default="", help="Only movements whose name holds this.")
def main(runs: int, moving: int, only: str) -> None:
    """Check the healthy cluster many times and report how often something failed."""
    prover = Prover()
    planned: list[Movement | None] = [None] * max(0, runs - moving)
    planned += [each for each in MOVEMENTS if only in each.name] if only else movements(moving)
    red_runs = undecided = 0
    for number, movement in enumerate(planned, start=1):
        with going_on(movement) if movement else nullcontext():
            seen = prover.look_in_detail(f"soak-{number}")
        red_runs += bool(seen.red)
        undecided += seen.undecided
        reds = ", ".join(f"{check}[{node}] {outcome}" for check, node, outcome in sorted(seen.red))
        click.echo(
            f"run {number:2}, {movement.name if movement else 'at rest'}: {seen.looks} looks, "
            f"{seen.seconds:.1f} s, {seen.undecided} inconclusive, {len(seen.flaky)} flaky, "
            f"failing: {reds or 'nothing'}"
        )
    click.echo(
        f"{len(planned) - red_runs} passed, {red_runs} failed, {undecided} inconclusive in all"
    )
    sys.exit(1 if red_runs or not planned else 0)


if __name__ == "__main__":
    main()
