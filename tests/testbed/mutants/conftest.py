"""A small project with one function for each fate of a mutant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.mutants.draw import Mutant, sources_below
from testbed.mutants.recording import Recording, record_tests
from testbed.mutants.sites import mutated
from testbed.mutants.tree import Tree, files_of

CALC = """\
LIMIT = 10
SHARE = LIMIT // 1


def larger(a: int, b: int) -> bool:
    return a > b


def is_small(number: int) -> bool:
    return number < LIMIT


def count_down(number: int) -> int:
    while number > 0:
        number -= 1
    return number


def of_another_process(number: int) -> int:
    return number * 2


def untested(number: int) -> int:
    return number + 1


def by_the_unreliable(number: int) -> int:
    return number // 1
"""
TESTS = """\
import subprocess
import sys
from pathlib import Path

import pytest

from pkg import calc

ARMED = Path(__file__).with_name("armed")
seen = []


def test_larger():
    assert calc.larger(2, 1)
    assert not calc.larger(1, 1)
    assert not calc.larger(1, 2)


def test_small():
    assert calc.is_small(3)


def test_count():
    assert calc.count_down(3) == 0


def test_process(tmp_path):
    words = [sys.executable, "-c", "from pkg import calc; print(calc.of_another_process(3))"]
    assert subprocess.run(words, cwd=tmp_path, capture_output=True).stdout == b"6\\n"


def test_once():
    calc.by_the_unreliable(1)
    armed = ARMED.exists()
    ARMED.unlink(missing_ok=True)
    assert not armed


def test_first():
    seen.append(1)


def test_only_after_the_first():
    calc.by_the_unreliable(1)
    assert seen


@pytest.mark.skip
def test_skipped():
    calc.untested(1)


def test_failing():
    calc.untested(1)
    assert False
"""


class Small:
    """The project, its copy, and what its tests touch."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        for name, text in {
            "pkg/calc.py": CALC,
            "pkg/__init__.py": "",
            "t/test_calc.py": TESTS,
        }.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (self.project / "pytest.ini").write_text("[pytest]\n")
        self.tree = Tree(folder / "copy")
        self.synchronise()
        self.sources = sources_below(self.project, ["pkg"])
        self.recording: Recording = record_tests(
            self.tree, ["pkg"], ["t", "-p", "pytest_cov"], folder=folder / "coverage", limit=120
        )

    def synchronise(self) -> None:
        self.tree.synchronise(self.project, files_of(self.project))

    def mutant(self, operator: str, before: str, after: str) -> Mutant:
        """The mutant that makes one line into another."""
        line = CALC.splitlines().index(before) + 1
        for occurrence in range(20):
            text = mutated(CALC, f"core/{operator}", occurrence) or CALC
            if text.splitlines()[line - 1].split() == after.split():
                return Mutant("pkg/calc.py", line, line, f"core/{operator}", occurrence)
        raise AssertionError(f"{operator} does not make {before!r} into {after!r}")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    with pytest.MonkeyPatch.context() as patch:
        # The plugins of this environment take seconds to load.
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        yield Small(tmp_path_factory.mktemp("small"))
