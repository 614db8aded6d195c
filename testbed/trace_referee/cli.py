"""The command line of the referee of traces."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field

import click

from testbed.trace_referee.duel import TAKEN, UNDECIDED, Outcome
from testbed.trace_referee.matches import Matches
from testbed.trace_referee.played import Played, played
from testbed.trace_referee.stages import Deciding

SEED = 20261130
PACKETS = 40


@click.command()
@click.option("--trace", is_flag=True, help="Chooses this referee.")
@click.option("--worlds", default=10, show_default=True, help="How many random worlds.")
@click.option("--packets", default=PACKETS, show_default=True, help="Of each world.")
@click.option("--seed", default=SEED, show_default=True, help="Of the first world.")
@click.option("--seconds", default=0.0, help="Start no world after so many; 0 for no limit.")
@click.option("--jobs", default=1, show_default=True, help="How many worlds exist at once.")
@click.option(
    "--nodes",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="Of each world; two are joined by a tunnel or by routes, and IPv6 and UDP are tried too.",
)
def main(
    *, trace: bool, worlds: int, packets: int, seed: int, seconds: float, jobs: int, nodes: int
) -> None:
    """Compare traces with real packets in random worlds; exit with 1 if one is wrong."""
    del trace
    began, tally = time.monotonic(), Tally()
    seeds = iter(range(seed, seed + worlds))
    for each in _worlds(seeds, nodes, packets, jobs, began + seconds if seconds else 0.0):
        tally.add(each)
        _show(each)
    for line in tally.lines(seed):
        click.echo(line)
    click.echo(f"Took {time.monotonic() - began:.0f} s.")
    sys.exit(1 if tally.wrong or not tally.packets else 0)


def _worlds(
    seeds: Iterator[int], nodes: int, packets: int, jobs: int, end: float
) -> Iterator[Played]:
    """Played worlds, several at a time: most of the time they wait for what does not come."""
    with ProcessPoolExecutor(jobs) as pool:
        running: set[Future[Played]] = set()
        while True:
            is_late = end and time.monotonic() > end
            while not is_late and len(running) < jobs and (seed := next(seeds, None)) is not None:
                running.add(pool.submit(played, seed, nodes, packets))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                yield each.result()


@dataclass
class Tally:
    """The sums of a run."""

    worlds: int = 0
    results: Counter[str] = field(default_factory=Counter)
    open_for: Counter[str] = field(default_factory=Counter)
    deciding: Deciding = field(default_factory=Deciding)
    matches: Matches = field(default_factory=Matches)
    wrong: int = 0

    @property
    def packets(self) -> int:
        return self.results["made"] + self.results["not made"]

    def add(self, world: Played) -> None:
        """Count a world."""
        self.worlds += 1
        self.deciding.add(world.kinds, [e for e in world.found if TAKEN not in e.reason])
        self.matches.add(world.commands, world.found)
        for each in world.found:
            self.results["made" if each.is_made else "not made"] += 1
            self.results[each.result] += 1
            if each.result == UNDECIDED:
                self.open_for[each.reason.partition(" at ")[0][:90]] += 1
            self.wrong += each.is_wrong

    def lines(self, seed: int) -> Iterator[str]:
        """What is printed at the end."""
        counted = ", ".join(f"{count:,} {what}" for what, count in sorted(self.results.items()))
        share = self.results[UNDECIDED] / max(self.packets, 1)
        yield (
            f"{self.packets:,} packets in {self.worlds:,} worlds from seed {seed}: {counted} "
            f"({share:.1%} undecided); {self.wrong:,} disagreements"
        )
        for why, count in self.open_for.most_common(8):
            yield f"  {count} undecided: {why}"
        yield from self.deciding.lines()
        yield from self.matches.lines()


def _show(world: Played) -> None:
    for command in world.refused:
        click.echo(f"Seed {world.seed}: this kernel refuses `{command}`.", err=True)
    wrong = [each for each in world.found if each.is_wrong]
    for each in wrong:
        click.echo(f"Seed {world.seed}: {_sentence(each)}")
    for command in world.commands if wrong else ():
        click.echo(f"  {command}")


def _sentence(each: Outcome) -> str:
    kernel = "arrives elsewhere" if each.is_elsewhere else "made" if each.is_made else "not made"
    return (
        f"a connection from {each.source} to {each.address} port {each.port} over "
        f"{each.protocol} is {kernel}, and the trace says `{each.result}`: {each.reason}"
    )
