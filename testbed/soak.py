"""`python -m testbed.soak`: healthy runs, some while the cluster moves; none may be red.

What was undecided is counted, since a run that decides nothing would be quiet as well.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from testbed.cluster import kubectl
from testbed.faults.prove import Prover

SIZES = (6, 3, 8, 2)


@click.command()
@click.option("--runs", default=10, show_default=True)
@click.option("--moving", default=5, show_default=True, help="How many of them while it moves.")
def main(runs: int, moving: int) -> None:
    """Look at the healthy cluster many times and say how often something was red."""
    prover = Prover()
    red_runs = 0
    for number in range(1, runs + 1):
        moves = number > runs - moving
        with rolling_and_scaling() if moves else still():
            seen = prover.look_in_detail(f"soak-{number}")
        red_runs += bool(seen.red)
        state = "rolled and scaled" if moves else "at rest"
        reds = ", ".join(f"{check}[{node}] {outcome}" for check, node, outcome in sorted(seen.red))
        click.echo(
            f"run {number:2}, {state}: {seen.looks} looks, {seen.seconds:.1f} s, "
            f"{seen.undecided} undecided, red: {reds or 'nothing'}"
        )
    click.echo(f"{runs - red_runs} passed, {red_runs} failed")
    sys.exit(1 if red_runs or not runs else 0)


@contextmanager
def still() -> Iterator[None]:
    """The cluster at rest."""
    yield


@contextmanager
def rolling_and_scaling() -> Iterator[None]:
    """A Deployment that is restarted and scaled without a pause."""
    stop = threading.Event()
    mover = threading.Thread(target=_move, args=(stop,), daemon=True)
    mover.start()
    time.sleep(1)  # so that the first change is on its way when the look begins
    try:
        yield
    finally:
        stop.set()
        mover.join()
        kubectl("-n", "shop", "scale", "deployment/web", f"--replicas={SIZES[1]}")
        kubectl("-n", "shop", "rollout", "status", "deployment/web", "--timeout=240s")


def _move(stop: threading.Event) -> None:
    turn = 0
    while not stop.is_set():
        size = SIZES[turn % len(SIZES)]
        kubectl("-n", "shop", "scale", "deployment/web", f"--replicas={size}")
        if turn % 2:
            kubectl("-n", "shop", "rollout", "restart", "deployment/web")
        turn += 1
        stop.wait(4)


if __name__ == "__main__":
    main()
