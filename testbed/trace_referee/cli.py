"""The command line of the referee of traces."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import click

from testbed.referee.dice import Dice
from testbed.trace_referee.changes import PORTS, SERVICE, change
from testbed.trace_referee.world import NODE, NODE_ADDRESS, PODS, Seen, World, running
from wirecheck.inspect.trace import destination, trace_view
from wirecheck.paths.ends import named

SEED = 20261130
MOST_CHANGES = 3
TAKEN = "takes the packet of"
"""The packet arrives, at another netns: the kernel makes the connection."""
PACKETS = 8
"""Of one world."""
SERVICE_RULES = (
    f"iptables-nft -t nat -A PREROUTING -d {SERVICE} -p tcp --dport 80 "
    f"-j DNAT --to-destination {PODS[1].address}:8080",
    f"iptables-nft -t nat -A OUTPUT -d {SERVICE} -p tcp --dport 80 "
    f"-j DNAT --to-destination {PODS[2].address}:8080",
    f"iptables-nft -t nat -A POSTROUTING -s {PODS[1].address} -d {PODS[1].address} -j MASQUERADE",
)


@dataclass(frozen=True)
class Outcome:
    """One connection: what the kernel did, and what the trace said."""

    source: str
    address: str
    port: int
    is_made: bool
    result: str
    reason: str

    @property
    def is_wrong(self) -> bool:
        if self.result == "cannot be decided" or TAKEN in self.reason:
            return False
        return self.is_made is not (self.result == "reaches")


@click.command()
@click.option("--trace", is_flag=True, help="Chooses this referee.")
@click.option("--worlds", default=10, show_default=True, help="How many random worlds.")
@click.option("--seed", default=SEED, show_default=True, help="Of the first world.")
@click.option("--seconds", default=0.0, help="Stop after so many; 0 for no limit.")
def main(*, trace: bool, worlds: int, seed: int, seconds: float) -> None:
    """Compare traces with real connections in random worlds; exit with 1 if one is wrong."""
    del trace
    tally: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    open_for: Counter[str] = Counter()
    wrong, end = 0, time.monotonic() + seconds
    for number in range(seed, seed + worlds):
        commands, made, found = _played(number)
        kinds.update(made)
        for each in found:
            tally["made" if each.is_made else "not made"] += 1
            tally[each.result] += 1
            if each.result == "cannot be decided":
                open_for[each.reason.partition(" at ")[0][:90]] += 1
            if each.is_wrong:
                wrong += 1
                _show(number, commands, each)
        if seconds and time.monotonic() > end:
            break
    packets = tally["made"] + tally["not made"]
    counted = ", ".join(f"{count:,} {what}" for what, count in sorted(tally.items()))
    click.echo(f"{packets:,} packets from seed {seed}: {counted}; {wrong:,} disagreements")
    for why, count in open_for.most_common(8):
        click.echo(f"  {count} undecided: {why}")
    click.echo("Changes: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    sys.exit(1 if wrong or not packets else 0)


def _played(seed: int) -> tuple[list[str], list[str], list[Outcome]]:
    """The commands, their kinds and the outcomes of one world."""
    dice, commands, kinds = Dice(seed), [*SERVICE_RULES], []
    for _ in range(dice.randint(0, MOST_CHANGES)):
        kind, command = change(dice)
        kinds.append(kind)
        commands.append(command)
    with running() as world:
        for each in commands:
            try:
                world.run(each)
            except subprocess.CalledProcessError:
                click.echo(f"Seed {seed}: this kernel refuses `{each}`.", err=True)
        return commands, kinds, [*_outcomes(world, dice)]


def _outcomes(world: World, dice: Dice) -> Iterator[Outcome]:
    sources = ["", *(each.name for each in PODS)]
    targets = [(each.address, port) for each in PODS for port in PORTS[1:]]
    targets += [(NODE_ADDRESS, 8080), (SERVICE, 80), (SERVICE, 80)]
    pairs = [(source, *target) for source in sources for target in targets]
    world.forget()
    seen = world.visit()
    for source, address, port in dice.sample(pairs, PACKETS):
        result, reason = _traced(seen, source, address, port)
        world.forget()
        is_made = world.connects(source, address, port)
        yield Outcome(source, address, port, is_made, result, reason)


def _traced(seen: Seen, source: str, address: str, port: int) -> tuple[str, str]:
    start = named(f"pod/world/{source}" if source else f"node/{NODE}")
    to = destination(seen.cluster, start, named(address), str(port), "tcp")
    view = trace_view(seen, start, to)  # type: ignore[arg-type]
    hop = view.paths[0].decisive if view.paths else None
    where = f" at {hop.netns}, {hop.stage}: {hop.lines}" if hop else ""
    return str(view.result), f"{view.reason}{where}"


def _show(seed: int, commands: list[str], each: Outcome) -> None:
    kernel = "made" if each.is_made else "not made"
    source = f"pod {each.source}" if each.source else "the node"
    click.echo(
        f"Seed {seed}: a connection from {source} to {each.address}:{each.port} is {kernel}, and "
        f"the trace says `{each.result}`: {each.reason}"
    )
    for command in commands[len(SERVICE_RULES) :]:
        click.echo(f"  {command}")
