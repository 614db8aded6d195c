"""`python -m testbed.readonly`: a run changes nothing on the nodes, and only reads the API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from testbed import nodes
from testbed.commands import TestbedError
from testbed.layout import CONTROL_PLANE, Layout
from testbed.readonly import audit, sandboxes
from testbed.readonly.comparison import (
    Difference,
    Place,
    State,
    differences,
    is_of_an_exec,
    sizes,
)
from testbed.readonly.disturbances import DISTURBANCES, disturbed
from testbed.state import state

PROGRAMS = tuple(Path(__file__).with_name(f"{name}_state.py") for name in ("node", "ebpf"))
PATIENCE = 30.0
"""Seconds in which what passes by itself (a probe of the kubelet's) has passed."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The nodes before and after something."""

    found: frozenset[Difference]
    by_itself: frozenset[Place]
    """What also moved while nothing was done."""
    after: Mapping[str, State]


@click.command()
@click.option("--inventory", default="inventory.yaml", show_default=True, help="Its file.")
@click.option("--disturb", is_flag=True, help="Leave things behind: they must be noticed.")
def main(inventory: str, disturb: bool) -> None:
    """Compare the nodes before and after a run, and read what the API server noted of it."""
    try:
        record = state().running()
        names = [node.name for node in Layout(record.subnet).nodes(record.vm)]
        sandboxes.wait_until_removed(names)
        passed = _notices(names, inventory) if disturb else prove(names, inventory)
    except TestbedError as error:
        raise click.ClickException(str(error)) from None
    sys.exit(0 if passed else 1)


def prove(names: Collection[str], inventory: str) -> bool:
    """Print what a run by that inventory did to the nodes and asked; whether it only reads."""
    began = time.monotonic()
    start = audit.position()
    compared = compare(names, lambda: _run(inventory))
    by_agents = "kubectl://" in (state().root / inventory).read_text()
    requests = audit.requests_since(start, by_kubectl=by_agents)
    click.echo("Compared, before and after a run:")
    for line in sizes(compared.after):
        click.echo(f"  {line}")
    for node, section, what in sorted(compared.by_itself):
        click.echo(f"  moves without a run as well: {node}: {section}: {what}"[:160])
    click.echo("Asked of the API server, by its audit log:")
    for request, count in sorted(requests.items()):
        click.echo(f"  {request.verb} {request.resource}: {count}")
    objections = audit.objections(requests, enters_pods=by_agents)
    of_execs = {each for each in compared.found if by_agents and is_of_an_exec(each)}
    if of_execs:
        click.echo(
            f"  of any command in a pod: {len(of_execs)} times below /run/containerd and /tmp"
        )
    wrong = [*map(str, sorted(compared.found - of_execs)), *objections]
    for each in wrong:
        click.echo(f"WRONG  {each}"[:400])
    click.echo(f"{'NOT' if wrong else 'is'} read-only ({time.monotonic() - began:.0f} s)")
    return not wrong


def _notices(names: Collection[str], inventory: str) -> bool:
    """Whether a run that leaves something of each kind behind is found out."""
    with ExitStack() as left_behind:

        def run_and_leave() -> None:
            _run(inventory)
            left_behind.enter_context(disturbed(CONTROL_PLANE))

        compared = compare(names, run_and_leave)
    noticed = {each.section for each in compared.found if each.node == CONTROL_PLANE}
    missed = {each.section for each in DISTURBANCES} - noticed
    click.echo(f"noticed: {', '.join(sorted(noticed)) or 'nothing'}")
    click.echo(f"MISSED: {', '.join(sorted(missed))}" if missed else "nothing was missed")
    return not missed


def compare(names: Collection[str], do: Callable[[], None]) -> Compared:
    """Do something, and tell what differs afterwards and stays so."""
    idle = take(names)
    before = take(names)
    by_itself = {each.place for each in differences(idle, before)}
    do()
    deadline = time.monotonic() + PATIENCE
    after = take(names)
    while True:
        found = {each for each in differences(before, after) if each.place not in by_itself}
        if not found or time.monotonic() > deadline:
            return Compared(frozenset(found), frozenset(by_itself), after)
        later = take(names)
        by_itself |= {each.place for each in differences(after, later)}
        after = later


def take(names: Collection[str]) -> dict[str, State]:
    """The state of each node."""
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(_state_of, names), strict=True))


def _state_of(name: str) -> State:
    said = (nodes.output(name, ["python3", "-"], stdin=each.read_text()) for each in PROGRAMS)
    return {section: found for text in said for section, found in json.loads(text).items()}


def _run(inventory: str) -> None:
    with tempfile.TemporaryDirectory(prefix="wirecheck-readonly-") as folder:
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "wirecheck", "run", "--report-dir", folder),
                *("--inventory", str(state().root / inventory)),
            ],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env={**os.environ, "PATH": f"{state().bin}:{os.environ['PATH']}"},
        )
    if ended.returncode not in (0, 1):
        raise TestbedError(f"wirecheck ended with {ended.returncode}: {ended.stderr[-600:]}")


if __name__ == "__main__":
    main()
