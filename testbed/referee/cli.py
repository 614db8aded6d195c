"""The command line of the referee."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from testbed import components, uml
from testbed.commands import TestbedError
from testbed.components import KUBERNETES
from testbed.components_of_referee import build_api_server, build_kube_proxy
from testbed.referee import cilium_duel, cilium_scenarios, mutate_cilium, record, results, settling
from testbed.referee.bench import Bench
from testbed.referee.cilium_process import LOAD_BALANCER, VERSION
from testbed.referee.control_plane import control_plane
from testbed.referee.dice import Dice
from testbed.referee.duel import Course, Score, play
from testbed.referee.mutations import try_mutations
from testbed.referee.node_object import ADDRESSES, FURTHER
from testbed.referee.place import Place, netns_here
from testbed.referee.place_in_uml import in_uml
from testbed.referee.results import Result, Tally
from testbed.referee.scene import NAMESPACE
from testbed.referee.slot import Slot, free_slot
from testbed.state import State, state

USUAL = KUBERNETES.removeprefix("v")
OTHERS = ("1.30.14", "1.31.0", "1.33.13", "1.35.4", "1.36.3", "1.37.2")
MODES = ("iptables", "nftables", "ipvs")
CILIUM = cilium_duel.MODE
"""The control plane of Cilium, in one version."""
ALL = (*MODES, CILIUM)
SHORT_SEED = 20261123
MOST_SETTLED = 3
"""Disagreements of one version and mode that are made small: one cause shows in many."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for."""

    versions: tuple[str, ...]
    modes: tuple[str, ...]
    services: int
    """In each version and mode; 0 for as many as are usual."""
    size: int
    seed: int
    mutations: int
    is_short: bool = False

    def course(self, version: str, mode: str) -> Course:
        usual = 2000 if version == USUAL else 300
        # IPVS is synchronised as a whole each time: fewer, larger scenes.
        size = self.size if mode != "ipvs" else max(self.size, 100)
        wanted = self.services or usual
        return Course(wanted, min(size, wanted), self.seed)

    def modes_of(self, version: str) -> tuple[str, ...]:
        """Those of kube-proxy. IPVS has not changed for years: it is tried in one version."""
        return tuple(
            each for each in self.modes if each != CILIUM and (each != "ipvs" or version == USUAL)
        )


@click.command()
@click.option("--version", "versions", multiple=True, help="Of kube-proxy; else all of them.")
@click.option(
    "--mode", "modes", multiple=True, type=click.Choice((*MODES, CILIUM)), help="Else all."
)
@click.option("--services", default=0, help="How many in each version and mode.")
@click.option("--size", default=80, show_default=True, help="New Services in one scene.")
@click.option("--seed", type=int, help="A fresh one where none is given.")
@click.option("--mutations", default=20, show_default=True, help="Of the rules of each scene.")
@click.option("--short", is_flag=True, help="A fixed seed, one version, without IPVS: for CI.")
@click.option("--markdown", type=click.Path(path_type=Path), help="A page for the results.")
def main(
    *,
    versions: tuple[str, ...],
    modes: tuple[str, ...],
    services: int,
    size: int,
    seed: int | None,
    mutations: int,
    short: bool,
    markdown: Path | None,
) -> None:
    """Let kube-proxy, or Cilium, program random Services, and compare with what is expected."""
    if short:
        wish = Wish((USUAL,), modes or MODES[:2], 120, 40, SHORT_SEED, 10, is_short=True)
    else:
        seed = seed if seed is not None else int(time.time())
        versions = versions or (*OTHERS, USUAL)
        wish = Wish(versions, modes or ALL, services, size, seed, mutations)
    click.echo(f"seed {wish.seed}")
    _guarded(wish, markdown)


def _run(wish: Wish, markdown: Path | None) -> bool:
    here = state()
    file = here.root / "referee" / "results.json"
    played = []
    for result in (*_with_kube_proxies(here, wish), *_with_cilium(here, wish)):
        played.append(result)
        if not wish.is_short:
            results.keep(file, result)
    click.echo(results.table(played) + results.reasons(played))
    if markdown:
        results.into_page(markdown, results.kept(file).values())
    return not any(each.score.disagreements or each.tally.missed for each in played)


def _with_kube_proxies(here: State, wish: Wish) -> Iterator[Result]:
    """Every version in each mode."""
    if not any(map(wish.modes_of, wish.versions)):
        return
    build_api_server(here)
    for version in wish.versions:
        build_kube_proxy(version, here)
    if "ipvs" in wish.modes:
        uml.make(here)
    with free_slot(here) as slot, control_plane(here, slot) as kubeconfig:
        bench = Bench.at(kubeconfig, NAMESPACE)
        for version in wish.versions:
            for mode in wish.modes_of(version):
                yield _duel(bench, here, slot, wish, version=version, mode=mode)


def _with_cilium(here: State, wish: Wish) -> Iterator[Result]:
    """Cilium's control plane, if it was asked for."""
    if CILIUM not in wish.modes:
        return
    program = components.build(LOAD_BALANCER, here)
    tally, score = Tally(), Score(VERSION, CILIUM, wish.seed)
    unlike = _play_scenarios(here)
    dice = Dice(wish.seed)
    with free_slot(here) as slot:
        folder = slot.folder / "cilium"
        for score, sight, wrong in cilium_duel.play(program, folder, wish.course(USUAL, CILIUM)):
            click.echo(_line(score))
            for each in wrong:
                click.echo(each)
            if not wrong:
                missed = mutate_cilium.try_mutations(dice, sight, wish.mutations, tally)
                click.echo("".join(f"{each}\n" for each in missed), nl=False)
    score.disagreements += unlike
    yield Result.today(score, tally)


def _play_scenarios(here: State) -> int:
    """Play the scenarios that come with Cilium; returns the number of differences."""
    stages = tuple(cilium_scenarios.play_all(cilium_scenarios.module_folder(VERSION, here)))
    found = [f"{each.name}: {line}" for each in stages for line in each.differences]
    click.echo("".join(f"{each}\n" for each in found), nl=False)
    frontends = sum(each.compared for each in stages)
    click.echo(
        f"Cilium's own scenarios: {len(stages)} maps, {frontends} frontends compared,"
        f" {len(found)} disagreements"
    )
    return len(found)


def _duel(bench: Bench, here: State, slot: Slot, wish: Wish, *, version: str, mode: str) -> Result:
    """One version in one mode, to its end."""

    def places() -> AbstractContextManager[Place]:
        if mode == "ipvs":
            return in_uml(here, slot, (*ADDRESSES, *FURTHER))
        return netns_here(slot, here.bin, (*ADDRESSES, *FURTHER))

    bench.patience, bench.looks = (1800.0, 2) if mode == "ipvs" else (120.0, 4)
    tally, score, wrongs = Tally(), Score(version, mode, wish.seed), []
    dice = Dice(wish.seed)
    for score, sight, wrong in play(bench, places, version, mode, wish.course(version, mode)):
        click.echo(_line(score))
        if wrong:
            click.echo(settling.as_seen(wrong, here.root / "referee" / "cases"))
            wrongs.append(wrong)
        else:
            for missed in try_mutations(dice, sight, wish.mutations, tally):
                click.echo(missed)
                case = f"missed-{version}-{mode}-{wish.seed}-{score.scenes}.json.gz"
                record.write(sight, here.root / "referee" / "cases" / case)
    for wrong in wrongs[:MOST_SETTLED]:
        click.echo(settling.settle(bench, places, wrong, here.root / "referee" / "cases"))
    return Result.today(score, tally)


def _line(score: Score) -> str:
    return (
        f"{score.version} {score.mode}, scene {score.scenes}: {score.services} Services,"
        f" {score.frontends} frontends compared, {score.disagreements} disagreements"
    )


def _guarded(wish: Wish, markdown: Path | None) -> None:
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        sys.exit(0 if _run(wish, markdown) else 1)
    except KeyboardInterrupt:
        click.echo("referee: interrupted", err=True)
        sys.exit(130)
    except TestbedError as error:
        click.echo(f"referee: {error}", err=True)
        sys.exit(1)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
