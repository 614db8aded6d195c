"""Running pytest in a copy of the tree: bounded in time, with every test's outcome."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path

import msgspec

from testbed.mutants.plugin import mutants_outcomes

PLUGIN = Path(mutants_outcomes.__file__).parent
_GRACE = 10.0
"""Seconds that pytest has to clean up when its time is over."""

_OUTER = {
    "COVERAGE_PROCESS_START",
    mutants_outcomes.COVERAGE,
    "PYTEST_ADDOPTS",
    "PYTEST_CURRENT_TEST",
    "PYTEST_XDIST_TESTRUNUID",
    "PYTEST_XDIST_WORKER",
    # Bytecode stays beside its source, where `Tree` removes what a mutant made stale.
    "PYTHONPYCACHEPREFIX",
}
"""What a pytest that this runs in would tell the inner one, and where compiled modules are."""


class Status(IntEnum):
    """pytest's exit statuses, as far as they matter here."""

    PASSED = 0
    FAILED = 1
    USAGE = 4


class Phase(msgspec.Struct, frozen=True):
    """Set-up, call or tear-down of one test."""

    test: str
    when: str
    outcome: str
    seconds: float


class Ended(msgspec.Struct, frozen=True):
    """How a run of pytest ended."""

    status: int | None
    """None if its time was over."""
    phases: list[Phase]
    output: str

    @property
    def failed(self) -> list[str]:
        """The tests that failed, in the order of the run."""
        return list(dict.fromkeys(each.test for each in self.phases if each.outcome == "failed"))


class StoppedError(Exception):
    """Somebody asked to stop."""


def run_pytest(
    tree: Path,
    arguments: Sequence[str],
    *,
    limit: float,
    tests: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run pytest in the tree, for at most `limit` seconds.

    Programs that tests start import the tree too: it comes first on PYTHONPATH, before what is
    installed.
    """
    # Short: tests put sockets there, whose paths may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="mut-"))
    try:
        outcomes = folder / "outcomes.jsonl"
        listed = folder / "tests"
        listed.write_text("".join(f"{test}\n" for test in tests))
        words = [sys.executable, "-m", "pytest", "-q", "-W", "ignore", "-p", "mutants_outcomes"]
        words += ["-p", "no:cacheprovider", "--no-header", f"--basetemp={folder}/t", *arguments]
        words += [f"@{listed}"] if tests else []
        environment = {
            **{name: value for name, value in os.environ.items() if name not in _OUTER},
            "PYTHONPATH": f"{tree}{os.pathsep}{PLUGIN}",
            mutants_outcomes.OUTCOMES: str(outcomes),
            **(env or {}),
        }
        with (folder / "output").open("w+b") as output:
            status = _bounded(
                words,
                cwd=tree,
                env=environment,
                output=output.fileno(),
                limit=limit,
                is_stopped=is_stopped,
            )
            output.seek(0)
            text = output.read().decode(errors="replace")
        phases = _phases(outcomes.read_bytes()) if outcomes.exists() else []
        return Ended(status, phases, text)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _phases(text: bytes) -> list[Phase]:
    """Read the outcomes. The last line of a run that was killed may be cut off."""
    lines = text[: text.rfind(b"\n") + 1].splitlines()
    return [msgspec.json.decode(line, type=Phase) for line in lines]


def _bounded(
    words: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    output: int,
    limit: float,
    is_stopped: Callable[[], bool],
) -> int | None:
    """Run a program in a session of its own; return its status, or None after the limit."""
    end = time.monotonic() + limit
    child = subprocess.Popen(
        words,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        while time.monotonic() < end:
            try:
                return child.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                if is_stopped():
                    raise StoppedError from None
        return None
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the whole session: first as Ctrl-C does, so that fixtures are torn down."""
    for number, patience in ((signal.SIGINT, _GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        try:
            child.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            continue
    child.wait()
