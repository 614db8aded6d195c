"""A pytest plugin that writes how each test ended and how long it took, one JSON line per phase.

It is loaded by name (`-p mutants_outcomes`) from a folder of its own, because nothing else of this
project may be importable from where it lies: the tests run against a copy of the tree.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

OUTCOMES = "MUTANTS_OUTCOMES"
"""The environment variable that names the file to write."""

COVERAGE = "MUTANTS_COVERAGE"
"""The one that names coverage's configuration, for programs that tests start."""


def pytest_configure(config: pytest.Config) -> None:
    """Have the programs that tests start measured too; xdist's workers must not be."""
    starts_workers = bool(config.getoption("numprocesses", None))
    is_worker = hasattr(config, "workerinput")
    if (settings := os.environ.get(COVERAGE)) and (is_worker or not starts_workers):
        os.environ["COVERAGE_PROCESS_START"] = settings
    if not is_worker:
        config.pluginmanager.register(_Writer(Path(os.environ[OUTCOMES])))


class _Writer:
    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_text("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        phase = {
            "test": report.nodeid,
            "when": report.when,
            "outcome": report.outcome,
            "seconds": report.duration,
        }
        with self._file.open("a") as file:
            file.write(f"{json.dumps(phase)}\n")
