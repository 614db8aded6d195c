"""Which test touches which line, and how long each takes: recorded once per state of the tree."""

from __future__ import annotations

import gzip
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
from coverage import CoverageData

from testbed.mutants.plugin import mutants_outcomes
from testbed.mutants.pytest_run import Ended, run_pytest
from testbed.mutants.tree import Tree

_PHASE = re.compile(r"(?:\|(?:setup|run|teardown)| \((?:setup|call|teardown)\))$")
"""What pytest-cov appends to a test's name, and what pytest itself does in PYTEST_CURRENT_TEST."""

_SETTINGS = """\
[run]
branch = false
parallel = true
data_file = {data}
source_dirs = {sources}
context = ${{PYTEST_CURRENT_TEST-}}
disable_warnings = no-data-collected, module-not-measured, dynamic-conflict
"""


class Seconds(msgspec.Struct, frozen=True, array_like=True):
    """How long a test took: its fixtures, which others may share, and the test itself."""

    setup: float
    call: float


class Recording(msgspec.Struct, frozen=True):
    """The tests that passed, and the lines that each of them ran."""

    tests: dict[str, Seconds]
    lines: dict[str, dict[int, list[str]]]
    """By file and line, the tests that ran it. What runs on import alone has no test."""
    failed: list[str]


class RecordingError(Exception):
    """The tests could not be recorded."""


def read_or_record(
    file: Path, record: Callable[[], Recording], say: Callable[[str], None]
) -> Recording:
    """Return what is recorded in the file; record and store it if there is none."""
    if file.exists():
        say(f"Coverage of the tests: {file}")
        return msgspec.json.decode(gzip.decompress(file.read_bytes()), type=Recording)
    say("Recording which test touches which line: all tests run once.")
    recording = record()
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".tmp")
    unfinished.write_bytes(gzip.compress(msgspec.json.encode(recording), 6))
    unfinished.rename(file)
    return recording


def record_tests(
    tree: Tree,
    roots: Sequence[str],
    arguments: Sequence[str],
    *,
    folder: Path,
    limit: float,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Recording:
    """Run the tests in the tree under coverage, each line with the names of the tests."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("data*"):
        stale.unlink()
    settings = folder / "coverage.ini"
    sources = "".join(f"\n    {tree.path / root}" for root in roots)
    settings.write_text(_SETTINGS.format(data=folder / "data", sources=sources))
    coverage = ["--cov", f"--cov-config={settings}", "--cov-context=test", "--cov-report="]
    ended = run_pytest(
        tree.path,
        [*arguments, *coverage],
        limit=limit,
        env={mutants_outcomes.COVERAGE: str(settings)},
        is_stopped=is_stopped,
    )
    if ended.status is None:
        raise RecordingError(f"the tests took longer than {limit:.0f} s")
    if not ended.phases:
        raise RecordingError(f"no test ran: {ended.output[-1000:]}")
    return _recording(ended, folder / "data", tree.path)


def _recording(ended: Ended, data: Path, tree: Path) -> Recording:
    seconds: dict[str, dict[str, float]] = defaultdict(dict)
    for phase in ended.phases:
        seconds[phase.test][phase.when] = phase.seconds
    idle = {each.test for each in ended.phases if each.outcome != "passed"}
    tests = {
        test: Seconds(by.get("setup", 0.0), by.get("call", 0.0) + by.get("teardown", 0.0))
        for test, by in seconds.items()
        if test not in idle
    }
    covered = CoverageData(str(data))
    covered.read()
    lines: dict[str, dict[int, list[str]]] = {}
    for file in covered.measured_files():
        if not Path(file).is_relative_to(tree):
            continue
        by_line = covered.contexts_by_lineno(file).items()
        found = {number: _tests_of(contexts, tests) for number, contexts in by_line}
        lines[str(Path(file).relative_to(tree))] = {n: each for n, each in found.items() if each}
    return Recording(tests, lines, ended.failed)


def _tests_of(contexts: Iterable[str], known: dict[str, Seconds]) -> list[str]:
    names = {_PHASE.sub("", context) for context in contexts}
    return sorted(names & known.keys())
