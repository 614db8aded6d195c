"""A node hangs, reboots or breaks off during its visit; runs are ended, or run at the same time."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from testbed import nodes
from testbed.commands import TestbedError, run
from testbed.layout import CONTROL_PLANE, WORKERS
from testbed.readiness import nodes_not_ready, unprogrammed, workloads_not_running
from testbed.reliability.scenario import Outcome, Scenario, begin, expected, wait_for

PROGRAM = "python3 -I -S"
SLOW = ("--dns-rate", "4")
"""Queries a second: visits take long enough to be met in the middle."""
LIMIT = 20.0
MARGIN = 40.0
"""Seconds that a run may take beside the one node's limit: generous, for machines are noisy."""
NODES = (CONTROL_PLANE, *WORKERS)
VICTIM = WORKERS[0]
INVENTORIES = ("inventory.yaml", "inventory-ssh.yaml", "inventory-sudo.yaml")


def looks_at_nodes(names: Iterable[str] = (VICTIM,)) -> None:
    """Wait until the node program runs on these nodes."""
    wait_for("the node program runs", lambda: all(program_runs(name) for name in names))


def program_runs(name: str) -> bool:
    """Whether a node program runs on the node."""
    return nodes.run(name, ["pgrep", "-f", PROGRAM]).status == 0


def wait_until_healthy(names: Iterable[str] = NODES) -> None:
    """Until the cluster is as it was."""
    every = list(names)

    def healthy() -> bool:
        try:
            return not (nodes_not_ready(every) or workloads_not_running() or unprogrammed(every))
        except TestbedError:
            return False

    wait_for("the cluster is healthy again", healthy)


def _while_looking(do: Callable[[], None], undo: Callable[[], None], inventory: str) -> list[str]:
    """The node that something happens to costs its limit once; all others are seen."""
    limits = {"node": LIMIT, "total": 120.0}
    with tempfile.TemporaryDirectory(prefix="wirecheck-reliability-") as folder:
        running = begin(
            Path(folder) / "run", *SLOW, "--rounds", "1", inventory=inventory, limits=limits
        )
        try:
            looks_at_nodes()
            do()
            outcome = running.end()
        finally:
            undo()
        return [*expected(outcome, 1, 2), *_all_but_the_victim(outcome)]


def _all_but_the_victim(outcome: Outcome) -> list[str]:
    wrong = []
    visits = outcome.visits
    if visits[VICTIM] in ("seen", "no way"):
        wrong.append(f"nothing happened to {VICTIM}: {visits}")
    if any(status != "seen" for name, status in visits.items() if name != VICTIM):
        wrong.append(f"other nodes were not seen: {visits}")
    items = outcome.results.items
    evaluated = {item.node for item in items if item.outcome in ("pass", "warn", "fail")}
    if not set(NODES) - {VICTIM} <= evaluated:
        wrong.append(f"only {sorted(evaluated)} were evaluated")
    if outcome.seconds > LIMIT + MARGIN:
        wrong.append(f"it took {outcome.seconds:.0f} s with a limit of {LIMIT:.0f} s a node")
    return wrong


def _paused(inventory: str) -> list[str]:
    return _while_looking(
        lambda: _docker("pause", VICTIM), lambda: _docker("unpause", VICTIM), inventory
    )


def _rebooted(inventory: str) -> list[str]:
    return _while_looking(
        lambda: _docker("restart", "--time", "0", VICTIM), wait_until_healthy, inventory
    )


def _cut_off() -> list[str]:
    """The node's end of the connection dies; its sshd takes new ones."""
    return _while_looking(
        lambda: _quietly(VICTIM, ["pkill", "-KILL", "-f", "^sshd: root"]),
        lambda: None,
        "inventory-ssh.yaml",
    )


def _program_killed() -> list[str]:
    return _while_looking(
        lambda: _quietly(VICTIM, ["pkill", "-KILL", "-f", PROGRAM]), lambda: None, "inventory.yaml"
    )


def _ended(number: signal.Signals, inventory: str) -> list[str]:
    """No process stays on a node; what was seen is reported, if there was time to."""
    with tempfile.TemporaryDirectory(prefix="wirecheck-reliability-") as folder:
        running = begin(Path(folder) / "run", *SLOW, inventory=inventory)
        looks_at_nodes()
        running.process.send_signal(number)
        outcome = running.end()
        wait_for("no program runs any more", lambda: not any(map(program_runs, NODES)))
        if number == signal.SIGKILL:
            return [] if outcome.status == -number else [f"it ended with {outcome.status}"]
        wrong = expected(outcome, 2)
        return wrong if outcome.results.ended.interrupted else [*wrong, "it does not say so"]


def _two_at_once() -> list[str]:
    with tempfile.TemporaryDirectory(prefix="wirecheck-reliability-") as folder:
        both = [begin(Path(folder) / name) for name in ("one", "other")]
        outcomes = [each.end() for each in both]
        wrong = [sentence for each in outcomes for sentence in expected(each, 0)]
        for each in outcomes:
            if set(each.visits.values()) != {"seen"}:
                wrong.append(f"not every node was seen: {each.visits}")
        return wrong


def _docker(*arguments: str) -> None:
    run(["docker", *arguments], timeout=120)


def _quietly(name: str, argv: list[str]) -> None:
    nodes.run(name, argv)


SCENARIOS = (
    *(
        Scenario(
            f"{number.name.lower()}-{inventory.removesuffix('.yaml')}",
            f"{number.name} during visits: no process stays on a node",
            partial(_ended, number, inventory),
        )
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
        for inventory in INVENTORIES
    ),
    Scenario("two-at-once", "two runs at once do not disturb each other", _two_at_once),
    Scenario(
        "node-hangs",
        "a node that stops in the middle costs its limit once (docker)",
        partial(_paused, INVENTORIES[0]),
    ),
    Scenario(
        "node-hangs-ssh",
        "a node that stops in the middle costs its limit once (ssh)",
        partial(_paused, INVENTORIES[1]),
    ),
    Scenario("ssh-cut", "a connection that breaks costs one node", _cut_off),
    Scenario("program-killed", "a node program that is killed costs one node", _program_killed),
    Scenario(
        "node-reboots", "a node that reboots costs one node", partial(_rebooted, INVENTORIES[0])
    ),
)
