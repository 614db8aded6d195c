"""A fault in the looking, and its one outcome."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from testbed.commands import TestbedError
from testbed.state import state
from wirecheck.results.jsonl import read_results
from wirecheck.results.records import Results
from wirecheck.snapshot.folder import Snapshot

PATIENCE = 240.0

# As the program, but watches are used for lists of any length.
WATCHING = (
    "import wirecheck.collect.api.changes as c; "
    "c.SHORT = 0; "
    "from wirecheck.cli.main import main; main()"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of wirecheck left."""

    status: int
    said: str
    seconds: float
    folder: Path | None
    """The run's folder, if it has got its final name."""

    @property
    def results(self) -> Results:
        if self.folder is None:
            raise TestbedError(f"the run left no results: {self.said[-600:]}")
        return read_results(self.folder / "results.jsonl")

    @property
    def snapshot(self) -> Snapshot:
        """What it saw."""
        if self.folder is None:
            raise TestbedError(f"the run left no snapshot: {self.said[-600:]}")
        return Snapshot.open(self.folder / "snapshot")

    @property
    def visits(self) -> dict[str, str]:
        """How the first visit to each node ended."""
        look = self.snapshot.index.looks[0]
        return {name: visit.status for name, visit in look.visits.items()}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A name, the sentence that is proven, and how: returns what is wrong, as sentences."""

    name: str
    sentence: str
    prove: Callable[[], list[str]]


@dataclass(slots=True)
class Running:
    """A run of wirecheck that was begun."""

    process: subprocess.Popen[str]
    reports: Path
    inventory: Path
    began: float = field(default_factory=time.monotonic)

    def end(self) -> Outcome:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=PATIENCE)
        seconds = time.monotonic() - self.began
        folders = sorted(each for each in self.reports.glob("2*") if each.is_dir())
        folder = folders[0] if folders else None
        return Outcome(self.process.returncode, out + err, seconds, folder)


def begin(
    reports: Path,
    *options: str,
    kubeconfig: Path | None = None,
    inventory: str = "inventory.yaml",
    limits: dict[str, float] | None = None,
    watching: bool = False,
    changes: Mapping[str, object] | None = None,
) -> Running:
    """Start wirecheck on the test cluster; its reports go below the folder `reports`.

    `changes` are parts that the inventory has instead of its own.
    """
    reports.mkdir(parents=True)
    content = yaml.safe_load((state().root / inventory).read_text())
    content |= {"limits": limits} if limits else {}
    content |= changes or {}
    file = reports / "inventory.yaml"
    file.write_text(yaml.safe_dump(content))
    program = ["-c", WATCHING] if watching else ["-m", "wirecheck"]
    command = [sys.executable, *program, "run", "--inventory", str(file)]
    command += ["--report-dir", str(reports / "out"), *options]
    command += ["--kubeconfig", str(kubeconfig)] if kubeconfig else []
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    return Running(process, reports / "out", file)


def expected(outcome: Outcome, *statuses: int, words: Sequence[str] = ()) -> list[str]:
    """What is not as it should be: the status, a traceback, a missing sentence."""
    wrong = []
    if outcome.status not in statuses:
        wrong.append(f"it ended with {outcome.status}, not {statuses}: {outcome.said[-500:]}")
    if "Traceback" in outcome.said or "itself failed" in outcome.said:
        wrong.append(f"there is a traceback: {outcome.said[-500:]}")
    wrong += [
        f"{word!r} was not said: {outcome.said[-500:]}"
        for word in words
        if word not in outcome.said
    ]
    return wrong


def wait_for(what: str, condition: Callable[[], object]) -> None:
    """Until it is so; TestbedError if it never is."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TestbedError(f"it did not come to pass: {what}")
        time.sleep(0.1)
