"""The command line of the referee of enforced policies."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from testbed.commands import TestbedError
from testbed.components import KUBERNETES
from testbed.components_of_referee import build_api_server
from testbed.enforcer_referee import record, results
from testbed.enforcer_referee.bench import PolicyBench, write_fixed
from testbed.enforcer_referee.comparing import Comparison, Kind
from testbed.enforcer_referee.findings import due, reported
from testbed.enforcer_referee.node import VERSION, enforcing_node, prepare
from testbed.enforcer_referee.packets import Sender, sender
from testbed.enforcer_referee.results import PolicyScore
from testbed.enforcer_referee.scenes import PolicyScene, random_policy_scenes, without_policies
from testbed.enforcer_referee.trials import Trials
from testbed.referee.api_writer import ApiWriter
from testbed.referee.control_plane import control_plane
from testbed.referee.dice import Dice
from testbed.referee.scene import Object
from testbed.referee.shrinking import fewest
from testbed.referee.slot import free_slot
from testbed.state import State, state

MOST_SHOWN = 5
MOST_SHRUNK = 2
"""Scenes with a disagreement that are made small: one cause shows in many."""
SHRINKING_NUMBERS = 1_000_000
"""The numbers of scenes that are tried while one is made small."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for."""

    policies: int
    size: int
    seed: int
    mutations: int
    packets: int
    seconds: float


@click.command()
@click.option("--policy", type=click.Choice(["kube-router"]), required=True, help="The enforcer.")
@click.option("--policies", default=1_000, show_default=True, help="How many different ones.")
@click.option("--size", default=20, show_default=True, help="Policies of one scene.")
@click.option("--seed", type=int, help="A fresh one where none is given.")
@click.option("--mutations", default=4, show_default=True, help="Of the rules of each scene.")
@click.option("--packets", default=1_500, show_default=True, help="Sent in each scene.")
@click.option("--seconds", default=0.0, help="Stop after so many; 0 for no limit.")
@click.option("--markdown", type=click.Path(path_type=Path), help="A page for the results.")
def main(
    *,
    policy: str,
    policies: int,
    size: int,
    seed: int | None,
    mutations: int,
    packets: int,
    seconds: float,
    markdown: Path | None,
) -> None:
    """Let an enforcer program random NetworkPolicies, and compare with what is expected."""
    del policy
    seed = int(time.time()) if seed is None else seed
    wish = Wish(policies, size, seed, mutations, packets, seconds)
    click.echo(f"seed {wish.seed}; Kubernetes {KUBERNETES}, kube-router {VERSION}")
    try:
        score = _run(state(), wish)
    except KeyboardInterrupt:
        sys.exit(130)
    except TestbedError as error:
        click.echo(f"referee: {error}", err=True)
        sys.exit(1)
    click.echo(results.as_page(score))
    if markdown:
        results.into_page(markdown, score)
    sys.exit(0 if score.is_good else 1)


@contextmanager
def _started(here: State) -> Iterator[tuple[PolicyBench, Sender]]:
    """The API server, the node with its enforcer, and a sender of packets."""
    program = prepare(here)
    build_api_server(here)
    with free_slot(here) as slot, control_plane(here, slot) as kubeconfig:
        writer = ApiWriter(kubeconfig)
        write_fixed(writer)
        with enforcing_node(program, slot, kubeconfig) as node, sender(node.world) as sending:
            yield PolicyBench.at(kubeconfig, node, writer), sending


def _run(here: State, wish: Wish) -> PolicyScore:
    score, dice, cases = PolicyScore(VERSION, wish.seed), Dice(wish.seed), here.root / "referee"
    names: set[str] = set()
    wrong: list[PolicyScene] = []
    end = time.monotonic() + wish.seconds
    with _started(here) as (bench, sending):
        for scene in random_policy_scenes(wish.seed, wish.size):
            bench.bring(scene)
            seen = bench.settled()
            names |= {each["metadata"]["name"] for each in scene.policies}
            score.policies, score.scenes = len(names), score.scenes + 1
            if said := _compared(seen, sending, dice, score, wish.packets):
                wrong.append(scene)
                path = cases / "cases" / f"policies-{wish.seed}-{scene.number}.json.gz"
                record.write(seen, path)
                click.echo("\n".join([f"kept in {path}:", *said[:MOST_SHOWN]]))
            else:
                for each in Trials(dice, bench, sending, score.tally).missed(seen, wish.mutations):
                    click.echo(each)
            score.packets = sending.sent
            click.echo(_line(score))
            if score.policies >= wish.policies or (wish.seconds and time.monotonic() > end):
                break
        for scene in wrong[:MOST_SHRUNK]:
            click.echo(_shrunk(bench, scene))
    return score


def _compared(
    seen: Comparison, sending: Sender, dice: Dice, score: PolicyScore, packets: int
) -> list[str]:
    """Count what came out for each connection; returns all that disagrees."""
    said: list[str] = []
    for _, kind, reason in seen.outcomes():
        score.kinds[kind] += 1
        if kind is Kind.WRONG:
            said.append(reason)
        elif kind is Kind.FLAW:
            score.flaws[reason] += 1
    if different := due(seen) ^ reported(seen):
        score.unreported += 1
        said.append(f"the checks report otherwise than each connection: {different}")
    lost = sending.misread(seen, seen.places, packets, dice)
    score.lost += len(lost)
    return [*said, *(f"the kernel treats the packet otherwise: {each}" for each in lost)]


def _shrunk(bench: PolicyBench, scene: PolicyScene) -> str:
    """The policies of a scene that are enough for a disagreement."""
    number = SHRINKING_NUMBERS

    def shows(policies: Sequence[Object]) -> bool:
        nonlocal number
        number += 1
        bench.bring(without_policies(scene, policies, number))
        return any(kind is Kind.WRONG for _, kind, _ in bench.settled().outcomes())

    if not shows(scene.policies):
        return f"scene {scene.number}: it needs what came before"
    return f"scene {scene.number}: {fewest(scene.policies, shows)}"


def _line(score: PolicyScore) -> str:
    tally = score.tally
    return (
        f"scene {score.scenes}: {score.policies} policies, {sum(score.kinds.values()):,}"
        f" connections, {score.disagreements} disagreements, {score.packets:,} packets;"
        f" mutations: {tally.reported} reported, {sum(tally.harmless.values())} harmless,"
        f" {tally.missed} missed"
    )
