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
from testbed.trace_referee.accounts import Counted, has_account
from testbed.trace_referee.capture import captured
from testbed.trace_referee.changes import PORTS, SERVICE, change, site_of
from testbed.trace_referee.pair import JOINED, NODES, Pair, running_pair
from testbed.trace_referee.stages import Deciding
from testbed.trace_referee.world import NODE_ADDRESS, PODS, Seen, World, running
from wirecheck.inspect.trace import destination, trace_view
from wirecheck.inspect.trace_view import HopView
from wirecheck.paths.ends import named

SEED = 20261130
MOST_CHANGES, MOST_CHANGES_OF_TWO = 3, 6
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
    protocol: str = "tcp"
    stage: str = ""
    """Where it ends, as the trace says."""
    is_counted: bool = False
    """Whether the kernel shows that a packet died there: by counters or a capture."""

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
@click.option(
    "--nodes",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="Of each world; two are joined by a tunnel or by routes, and IPv6 and UDP are tried too.",
)
def main(*, trace: bool, worlds: int, seed: int, seconds: float, nodes: int) -> None:
    """Compare traces with real connections in random worlds; exit with 1 if one is wrong."""
    del trace
    tally: Counter[str] = Counter()
    open_for: Counter[str] = Counter()
    deciding = Deciding()
    wrong, end = 0, time.monotonic() + seconds
    for number in range(seed, seed + worlds):
        commands, made, found = (_played if nodes == 1 else _played_by_two)(number)
        deciding.add(made, [each for each in found if TAKEN not in each.reason])
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
    for line in deciding.lines():
        click.echo(line)
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
            _change(world, each, seed)
        return commands[len(SERVICE_RULES) :], kinds, [*_outcomes(world, dice)]


def _change(world: World, command: str, seed: int) -> None:
    try:
        world.run(command)
    except subprocess.CalledProcessError:
        click.echo(f"Seed {seed}: this kernel refuses `{command}`.", err=True)


def _played_by_two(seed: int) -> tuple[list[str], list[str], list[Outcome]]:
    """The same of a world of two nodes, in one family."""
    dice, kinds, commands = Dice(seed), [], []
    joined, family = dice.choice(JOINED), dice.choice([4, 4, 6])
    with running_pair(joined) as pair:
        for _ in range(dice.randint(0, MOST_CHANGES_OF_TWO)):
            node = dice.choice(NODES)
            kind, command = change(dice, site_of(node, family))
            kinds.append(kind)
            commands.append(f"{node.name} (joined by {joined}): {command}")
            _change(pair.of(node.name), command, seed)
        return commands, kinds, [*_outcomes_of_two(pair, dice, family)]


def _outcomes_of_two(pair: Pair, dice: Dice, family: int) -> Iterator[Outcome]:
    addresses = site_of(NODES[0], family).addresses
    sources = [
        (node.name, pod)
        for node in NODES
        for pod in ("", *(each.name for each in node.pods if family == 4 or each.address6))
    ]
    ports = [("tcp", 8080), ("tcp", 9090), ("udp", 8080)]
    pairs = [(*source, where, *port) for source in sources for where in addresses for port in ports]
    pair.forget()
    seen = pair.visit()
    for node, source, address, protocol, port in dice.sample(pairs, PACKETS):
        sent = Packet(source, address, port, protocol)
        yield _compared(seen, pair.of(node), pair, sent)


@dataclass(frozen=True)
class Packet:
    """What is sent."""

    source: str
    """A pod; empty for the node."""
    address: str
    port: int
    protocol: str = "tcp"


def _compared(seen: Seen, world: World, every: World | Pair, sent: Packet) -> Outcome:
    """What the trace says of a packet of the world, and then what the kernel does."""
    name = f"pod/world/{sent.source}" if sent.source else f"node/{world.placed.name}"
    result, reason, hop = _traced(seen, name, sent)
    every.forget()
    counting = _counting(every, hop) if result == "dies" else None
    if counting is None or hop is None:
        is_made, is_counted = _connects(world, sent), False
    else:
        is_made, is_counted = _watched(world, sent, counting, hop)
    stage = hop.stage if hop else ""
    label = f"pod {sent.source}" if sent.source else f"node {world.placed.name}"
    end = sent.protocol, stage, is_counted
    return Outcome(label, sent.address, sent.port, is_made, result, reason, *end)


def _connects(world: World, sent: Packet) -> bool:
    return world.connects(sent.source, sent.address, sent.port, sent.protocol)


def _watched(
    world: World, sent: Packet, where: tuple[World, str], hop: HopView
) -> tuple[bool, bool]:
    """Whether the connection is made, and whether the kernel shows that it ended in a netns."""
    before = Counted.of(*where)
    with captured(*where) as seen:
        is_made = _connects(world, sent)
    is_counted = has_account(hop.stage, hop.lines, before, Counted.of(*where))
    never_left = seen.is_empty and where == (world, sent.source)
    return is_made, is_counted or seen.has_ended_here or never_left


def _counting(every: World | Pair, hop: HopView | None) -> tuple[World, str] | None:
    """The netns in which the packet dies; None if it is neither a pod's nor a node's."""
    if hop is None or hop.netns.startswith("netns"):
        return None
    world = every.of(hop.node) if isinstance(every, Pair) else every
    return world, hop.netns.partition("/")[2]


def _outcomes(world: World, dice: Dice) -> Iterator[Outcome]:
    sources = ["", *(each.name for each in PODS)]
    targets = [(each.address, port) for each in PODS for port in PORTS[1:]]
    targets += [(NODE_ADDRESS, 8080), (SERVICE, 80), (SERVICE, 80)]
    pairs = [(source, *target) for source in sources for target in targets]
    world.forget()
    seen = world.visit()
    for source, address, port in dice.sample(pairs, PACKETS):
        yield _compared(seen, world, world, Packet(source, address, port))


def _traced(seen: Seen, source: str, sent: Packet) -> tuple[str, str, HopView | None]:
    """The result, the reason, and the hop at which it ends."""
    start, end = named(source), named(sent.address)
    to = destination(seen.cluster, start, end, str(sent.port), sent.protocol)
    view = trace_view(seen, start, to)  # type: ignore[arg-type]
    hop = view.paths[0].decisive if view.paths else None
    where = f" at {hop.node}, {hop.netns}, {hop.stage}: {hop.lines}" if hop else ""
    return str(view.result), f"{view.reason}{where}", hop


def _show(seed: int, commands: list[str], each: Outcome) -> None:
    kernel = "made" if each.is_made else "not made"
    click.echo(
        f"Seed {seed}: a connection from {each.source} to {each.address} port {each.port} over "
        f"{each.protocol} is {kernel}, and the trace says `{each.result}`: {each.reason}"
    )
    for command in commands:
        click.echo(f"  {command}")
