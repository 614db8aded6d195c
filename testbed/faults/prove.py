"""Injects a fault into the real cluster, runs wirecheck, removes it, runs wirecheck again."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import helper_pods
from testbed.cluster import kubectl, node_names
from testbed.commands import TestbedError
from testbed.faults.dns_placement import clear_of_dns
from testbed.faults.fault import Fault, Red, Step, fill_in, spelled_out
from testbed.faults.matrix import Row
from testbed.faults.rest import come_to_rest
from testbed.faults.target import words
from testbed.networks.pod_network import network_named
from testbed.nodes import output
from testbed.state import state
from wirecheck.catalogue.findings import Outcome
from wirecheck.results import causes
from wirecheck.results.jsonl import read_results

PATIENCE = 240.0
"""Seconds for a condition to come true: generous, since machines are noisy."""
RED = ("fail", "warn", "error")


class ProofError(TestbedError):
    """A condition did not come true, or wirecheck did not do its work: says which."""


@dataclass(frozen=True)
class Seen:
    """One run of wirecheck. Errors that are folded into their node's are not repeated in `red`."""

    folder: Path
    red: frozenset[Red]
    """Without what the pod network shows in a healthy cluster too."""
    all_red: frozenset[Red]
    symptoms: frozenset[Red]
    """Those of `red` that the report tells beneath their cause."""
    unjudged: frozenset[Red]
    """(check, node, why) of what was inconclusive."""
    flaky: frozenset[Red]
    """What failed in some rounds only."""
    undecided: int
    looks: int
    seconds: float


class Prover:
    """Runs faults one after the other against the cluster that `make cluster` left behind."""

    def __init__(self, *, rests: bool = True) -> None:
        """`rests` is whether each fault waits for a cluster in which nothing changes."""
        self._root = state().root
        self._rests = rests
        self._usual: frozenset[Red] | None = None

    def prove(self, fault: Fault) -> Row:
        """Put it in, look, take it out, wait until all is healthy again; never raises for it."""
        expected: frozenset[Red] = frozenset()
        by_chance: frozenset[Red] = frozenset()
        red: frozenset[Red] = frozenset()
        symptoms: frozenset[Red] = frozenset()
        flaky: frozenset[Red] = frozenset()
        rounds = 0
        problem = ""
        started = time.monotonic()
        seconds = 0.0
        needs = str(fault.needs)
        values: dict[str, str] = {}
        try:
            clear_of_dns()
            values = words(fault.target)
            names = node_names()
            expected = spelled_out(fault.reds(), values, names)
            by_chance = spelled_out(fault.possible_reds(), values, names)
            if fault.inventory == helper_pods.INVENTORY:
                helper_pods.prepare(state())
            if self._rests:
                come_to_rest()
            _do(fault.inject, values)
            started = time.monotonic()
            seen = self.look_in_detail(fault.name, fault.inventory)
            red, symptoms = seen.red, seen.symptoms
            flaky, rounds = seen.flaky, seen.looks
            seconds = time.monotonic() - started
            _demand_inconclusive(fault, seen)
        except TestbedError as error:
            problem = str(error)
        finally:
            problem = (self.undo(fault, values) if values else "") or problem
        left_over = self._until_healthy(f"{fault.name}-after")
        return Row(
            fault=fault.name,
            group=fault.group,
            story=fault.story,
            expected=expected,
            red=red,
            left_over=left_over,
            seconds=seconds,
            problem=problem,
            symptoms=symptoms,
            flaky=flaky,
            rounds=rounds,
            by_chance=by_chance,
            needs=needs,
        )

    def inject(self, fault: Fault) -> dict[str, str]:
        """Put a fault in; the words to take it out with. Raises TestbedError."""
        values = words(fault.target)
        _do(fault.inject, values)
        return values

    def look(self, name: str, inventory: str = "") -> frozenset[Red]:
        """Run wirecheck as a user does; returns what fails."""
        return self.look_in_detail(name, inventory).red

    def usual(self) -> frozenset[Red]:
        """What the pod network of the running cluster shows in a healthy cluster too."""
        if self._usual is None:
            network = network_named(state().running().network)
            self._usual = spelled_out(network.reds(), {}, node_names())
        return self._usual

    def look_in_detail(self, name: str, inventory: str = "", options: Sequence[str] = ()) -> Seen:
        """The same, with what else the results tell; `options` are further ones of the run."""
        folder = self._root / "faults" / name
        shutil.rmtree(folder, ignore_errors=True)
        command = [
            *(sys.executable, "-m", "wirecheck", "run"),
            *("--inventory", str(self._root / (inventory or "inventory.yaml"))),
            *("--report-dir", str(folder)),
            *options,
        ]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        written = list(folder.glob("*/results.jsonl"))
        if ended.returncode not in (0, 1, 2) or not written:
            raise ProofError(f"wirecheck ended with {ended.returncode}: {ended.stderr[-2000:]}")
        results = read_results(written[0])
        red = frozenset(
            (item.check, item.node, str(item.outcome))
            for item in results.items
            # A change in a future version is not a fault of this cluster.
            if item.outcome in RED
            and not item.folded
            and not item.check.startswith("deprecations.")
        )
        follows = causes.symptoms(results.items)
        return Seen(
            folder=written[0].parent,
            red=red - self.usual(),
            all_red=red,
            symptoms=frozenset(each for each in red if each[:2] in follows),
            unjudged=frozenset(
                (item.check, item.node, why) for item in results.items for why in item.unjudged
            ),
            flaky=frozenset(
                (item.check, item.node, str(item.outcome))
                for item in results.items
                if item.outcome is Outcome.FLAKY
            ),
            undecided=results.ended.coverage.undecided,
            looks=results.ended.looks,
            seconds=results.ended.seconds,
        )

    def undo(self, fault: Fault, values: Mapping[str, str]) -> str:
        """Take a fault out; what went wrong with that, as words."""
        try:
            _do(fault.remove, values)
        except TestbedError as error:
            return f"taking it out: {error}"
        return ""

    def _until_healthy(self, name: str) -> frozenset[Red]:
        """What is still red when patience ends: nothing, if all is well."""
        deadline = time.monotonic() + PATIENCE
        while (red := self._red_or_unknown(name)) and time.monotonic() < deadline:
            time.sleep(3)
        return red

    def _red_or_unknown(self, name: str) -> frozenset[Red]:
        """What fails; a run without results is as bad as a failing one."""
        try:
            return self.look(name)
        except ProofError as error:
            return frozenset({(str(error), "", "error")})


def _do(steps: Iterable[Step], values: Mapping[str, str]) -> None:
    for step in steps:
        if step.until:
            _wait_until(step, values)
        elif step.kubectl:
            kubectl(*_words(step.kubectl, values), timeout=PATIENCE + 60)
        else:
            on = fill_in(step.node, values)
            argv = _words(step.run, values) if step.run else ["python3", "-c", step.script]
            if step.script:
                argv += [values.get(word, word) for word in step.passes]
            output(on, argv, timeout=PATIENCE + 60)


def _demand_inconclusive(fault: Fault, seen: Seen) -> None:
    """Raise ProofError if an object that should be inconclusive was evaluated or not seen."""
    for check, places in fault.inconclusive.items():
        for node, why in places.items():
            if (check, node, why) not in seen.unjudged:
                raise ProofError(f"{check} on {node} left nothing inconclusive because of {why}")


def _wait_until(step: Step, values: Mapping[str, str]) -> None:
    deadline = time.monotonic() + PATIENCE
    said = ""
    while time.monotonic() < deadline:
        said = kubectl(*_words(step.until, values))
        if said.strip() == fill_in(step.says, values):
            return
        time.sleep(1)
    raise ProofError(f"kubectl {step.until} still says {said!r} and not {step.says!r}")


def _words(command: str, values: Mapping[str, str]) -> list[str]:
    return [fill_in(word, values) for word in shlex.split(command)]
