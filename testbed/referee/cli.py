"""The command line of the referee."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

import click

from testbed.commands import TestbedError
from testbed.components import KUBERNETES
from testbed.components_of_referee import build_api_server, build_kube_proxy
from testbed.referee.bench import Bench
from testbed.referee.control_plane import control_plane
from testbed.referee.duel import Course, Places, play
from testbed.referee.node_object import ADDRESSES
from testbed.referee.place import netns_here
from testbed.referee.scene import NAMESPACE
from testbed.referee.slot import free_slot
from testbed.state import state

USUAL = KUBERNETES.removeprefix("v")
OTHERS = ("1.30.14", "1.31.0", "1.33.13", "1.35.4", "1.36.3", "1.37.2")
MODES = ("iptables", "nftables", "ipvs")


@click.command()
@click.option(
    "--version", "versions", multiple=True, help="Of kube-proxy; all where none is named."
)
@click.option("--mode", "modes", multiple=True, type=click.Choice(MODES))
@click.option("--services", default=0, help="How many in each version and mode.")
@click.option("--size", default=80, show_default=True, help="New Services in one scene.")
@click.option("--seed", type=int, help="A fresh one where none is given.")
def main(
    versions: tuple[str, ...], modes: tuple[str, ...], services: int, size: int, seed: int | None
) -> None:
    """Let kube-proxy program random Services, and compare what is read with what is expected."""
    seed = seed if seed is not None else int(time.time())
    click.echo(f"seed {seed}")
    _guarded(lambda: _run(versions or (USUAL, *OTHERS), modes or MODES[:2], services, size, seed))


def _run(
    versions: tuple[str, ...], modes: tuple[str, ...], services: int, size: int, seed: int
) -> bool:
    here = state()
    build_api_server(here)
    for version in versions:
        build_kube_proxy(version, here)
    is_good = True
    with free_slot(here) as slot, control_plane(here, slot) as kubeconfig:
        bench = Bench.at(kubeconfig, NAMESPACE)
        for version in versions:
            for mode in modes:
                course = Course(services or (2000 if version == USUAL else 300), size, seed)
                places: Places = lambda: netns_here(slot, here.bin, ADDRESSES)
                for score, sight, wrong in play(bench, places, version, mode, course):
                    click.echo(f"{score} {len(sight.disagreements)}")
                    if wrong:
                        is_good = False
                        click.echo(f"{wrong.contestant}: " + "\n".join(sight.disagreements[:10]))
    return is_good


def _guarded(do: Callable[[], bool]) -> None:
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        sys.exit(0 if do() else 1)
    except KeyboardInterrupt:
        click.echo("referee: interrupted", err=True)
        sys.exit(130)
    except TestbedError as error:
        click.echo(f"referee: {error}", err=True)
        sys.exit(1)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
