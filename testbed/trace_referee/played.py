"""A random world from a seed: it is made, changed and visited, and its packets are compared."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from testbed.referee.dice import Dice
from testbed.trace_referee.changes import change
from testbed.trace_referee.duel import Outcome, compared
from testbed.trace_referee.exchange import Packet, exchange
from testbed.trace_referee.namespaces import Netns, opened
from testbed.trace_referee.neighbour_table import hasten
from testbed.trace_referee.pair import JOINED, NODES, Pair, running_pair
from testbed.trace_referee.site import PORTS, SERVICE, site_of
from testbed.trace_referee.world import NODE_ADDRESS, PODS, World, running

MOST_CHANGES, MOST_CHANGES_OF_TWO = 3, 10
LARGE = 1_350
"""Bytes of a datagram that fits into what a tunnel leaves of 1,500."""
SERVICE_RULES = (
    f"iptables-nft -t nat -A PREROUTING -d {SERVICE} -p tcp --dport 80 "
    f"-j DNAT --to-destination {PODS[1].address}:8080",
    f"iptables-nft -t nat -A OUTPUT -d {SERVICE} -p tcp --dport 80 "
    f"-j DNAT --to-destination {PODS[2].address}:8080",
    f"iptables-nft -t nat -A POSTROUTING -s {PODS[1].address} -d {PODS[1].address} -j MASQUERADE",
)


@dataclass
class Played:
    """A world that was played."""

    seed: int
    commands: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Commands that this kernel or its tools refuse."""
    found: list[Outcome] = field(default_factory=list)


def played(seed: int, nodes: int, packets: int) -> Played:
    """Play the world of a seed."""
    return _one(seed, packets) if nodes == 1 else _two(seed, packets)


def _one(seed: int, packets: int) -> Played:
    dice, world_played = Dice(seed), Played(seed)
    for _ in range(dice.randint(0, MOST_CHANGES)):
        kind, command = change(dice)
        world_played.kinds.append(kind)
        world_played.commands.append(command)
    with running() as world:
        for each in (*SERVICE_RULES, *world_played.commands):
            _change(world, each, world_played)
        targets = [(each.address, "tcp", port) for each in PODS for port in PORTS[1:]]
        targets += [(NODE_ADDRESS, "tcp", 8080), (SERVICE, "tcp", 80), (SERVICE, "tcp", 80)]
        with _every_netns([world]) as every:
            sent = [Packet(each, *_target(to)) for each in every for to in targets]
            chosen = dice.sample(sent, min(packets, len(sent)))
            world_played.found += _outcomes(world, every, chosen)
    return world_played


def _two(seed: int, packets: int) -> Played:
    """The same with two nodes, in one family."""
    dice, world_played = Dice(seed), Played(seed)
    joined, family = dice.choice(JOINED), dice.choice([4, 4, 6])
    with running_pair(joined) as pair:
        for _ in range(dice.randint(0, MOST_CHANGES_OF_TWO)):
            node = dice.choice(NODES)
            kind, command = change(dice, site_of(node, family))
            world_played.kinds.append(kind)
            world_played.commands.append(f"{node.name} (joined by {joined}): {command}")
            _change(pair.of(node.name), command, world_played)
        with _every_netns(pair.worlds) as every:
            sent = _packets_of_two(every, family)
            chosen = dice.sample(sent, min(packets, len(sent)))
            world_played.found += _outcomes(pair, every, chosen)
    return world_played


def _target(to: tuple[str, str, int]) -> tuple[str, int, str]:
    where, protocol, port = to
    return where, port, protocol


def _packets_of_two(every: Sequence[Netns], family: int) -> list[Packet]:
    senders = {each.name for node in NODES for each in node.pods if family == 4 or each.address6}
    ports = [("tcp", 8080, 1), ("tcp", 9090, 1), ("udp", 8080, 1), ("udp", 8080, LARGE)]
    return [
        Packet(netns, where, port, protocol, size)
        for netns in every
        if not netns.pod or netns.pod in senders
        for where in site_of(NODES[0], family).addresses
        for protocol, port, size in ports
    ]


@contextlib.contextmanager
def _every_netns(worlds: Sequence[World]) -> Iterator[tuple[Netns, ...]]:
    with opened(worlds) as every:
        for each in every:
            hasten(each)
        yield every


def _outcomes(
    world: World | Pair, every: Sequence[Netns], sent: Sequence[Packet]
) -> Iterator[Outcome]:
    with exchange(every) as sockets:  # The visit sees who listens.
        sockets.forget()
        seen = world.visit()
        for each in sent:
            yield compared(seen, sockets, each)


def _change(world: World, command: str, noted: Played) -> None:
    try:
        world.run(command)
    except subprocess.CalledProcessError:
        noted.refused.append(command)
