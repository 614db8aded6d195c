"""The upgrade gate that the pipelines in `ci/` share, run as it is written there."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from testbed.commands import TestbedError

FILE = Path(__file__).parents[2] / "ci" / "upgrade-gate.yaml"
UPGRADE = "upgrade"
PROGRAM = "wirecheck"
_LIMIT = 1200.0


class GateStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step; without `run` it is the upgrade itself."""

    name: str
    run: str = ""
    goes_on: list[int] = []
    always: bool = False
    """Also after a step that ended the gate."""

    @property
    def words(self) -> list[str]:
        """The command."""
        return shlex.split(self.run)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a step ended: its exit status, what it said, and how long it took."""

    step: str
    status: int
    said: str
    seconds: float


def read_steps(file: Path = FILE) -> list[GateStep]:
    """The gate's steps, in their order."""
    return msgspec.convert(yaml.safe_load(file.read_text()), list[GateStep])


def pass_through(
    steps: Sequence[GateStep],
    upgrade: Callable[[], None],
    folder: Path,
    instead: Mapping[str, str],
) -> list[Verdict]:
    """Run the steps in `folder`, with some of their words exchanged; how each of them ended.

    After a step that stops the gate only those come that always do.
    """
    verdicts: list[Verdict] = []
    stopped = False
    for step in steps:
        if stopped and not step.always:
            continue
        if step.name == UPGRADE:
            upgrade()
            continue
        verdicts.append(_ended(step, folder, instead))
        stopped |= not step.always and verdicts[-1].status not in step.goes_on
    return verdicts


def _ended(step: GateStep, folder: Path, instead: Mapping[str, str]) -> Verdict:
    words = [instead.get(word, word) for word in step.words]
    if words[0] != PROGRAM:
        raise TestbedError(f"{FILE}: the step {step.name} runs {words[0]}, not {PROGRAM}")
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    said = ended.stdout if ended.stdout.strip() else ended.stderr
    return Verdict(step.name, ended.returncode, said.strip(), time.monotonic() - began)
