"""One mutant against its tests, and the doubts about what they say.

A failing test alone proves nothing: it may fail now and then, or fail on the original too when it
runs without the others. So what kills a mutant must fail twice on it and pass on the original.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

import msgspec

from testbed.mutants.draw import Mutant, diff_of, text_of
from testbed.mutants.pytest_run import Ended, Status, run_pytest
from testbed.mutants.recording import Recording
from testbed.mutants.selection import select, touching
from testbed.mutants.tree import Tree

_ATTEMPTS = 4
_SHARE = 0.75
"""Of a mutant's time, what tests may take; the rest is for starting them."""

_ALONE = ("-p", "no:xdist", "-x")


class Outcome(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    TIMED_OUT = "timed out"
    NO_TESTS = "no tests"
    UNCERTAIN = "uncertain"
    """The tests that touch it contradict themselves."""


class Result(msgspec.Struct, frozen=True):
    """One mutant's outcome."""

    mutant: Mutant
    outcome: Outcome
    tests: int
    """How many tests it had to face."""
    killer: str
    diff: str


class Trial:
    """Mutants run one after the other in one tree."""

    def __init__(
        self,
        tree: Tree,
        sources: Mapping[str, str],
        recording: Recording,
        *,
        limit: float,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._tree = tree
        self._sources = sources
        self._recording = recording
        self._limit = limit
        self._is_stopped = is_stopped
        self._sound: dict[tuple[str, ...], bool] = {}
        self._unsound: set[str] = set()

    def run(self, mutant: Mutant) -> Result:
        """Run the mutant against its tests."""
        tests_of_line = touching(mutant, self._sources, self._recording)
        lines = self._recording.lines.get(mutant.file, {})
        budget = self._limit * _SHARE
        for _ in range(_ATTEMPTS):
            known = tests_of_line - self._unsound
            if not known:
                return self._result(mutant, Outcome.NO_TESTS, [])
            tests = select(known, self._recording.tests, budget, lines)
            ended = self._mutated(mutant, tests)
            if ended.status is None:
                if self._original(tests).status is not None:
                    return self._result(mutant, Outcome.TIMED_OUT, tests)
                # The tests alone take too long on this machine.
                budget /= 2
                continue
            if ended.status == Status.PASSED:
                return self._result(mutant, Outcome.SURVIVED, tests)
            if self._is_killed(mutant, tests, ended):
                killer = ended.failed[0] if ended.failed else _last_line(ended.output)
                return self._result(mutant, Outcome.KILLED, tests, killer)
        return self._result(mutant, Outcome.UNCERTAIN, tests)

    def _is_killed(self, mutant: Mutant, tests: Sequence[str], ended: Ended) -> bool:
        """Whether the tests fail again on the mutant, and pass on the original."""
        killers = ended.failed[:1]
        if not killers:
            # Something could not be imported or collected.
            return self._original(tests, "--collect-only").status == Status.PASSED
        if not self._is_sound(killers):
            self._unsound.update(killers)
            return False
        return self._mutated(mutant, killers).status not in (Status.PASSED, None)

    def _is_sound(self, tests: Sequence[str]) -> bool:
        key = tuple(tests)
        if key not in self._sound:
            self._sound[key] = self._original(tests).status == Status.PASSED
        return self._sound[key]

    def _mutated(self, mutant: Mutant, tests: Sequence[str]) -> Ended:
        text = text_of(mutant, self._sources[mutant.file])
        with self._tree.changed(mutant.file, text):
            return self._original(tests)

    def _original(self, tests: Sequence[str], *arguments: str) -> Ended:
        return run_pytest(
            self._tree.path,
            (*_ALONE, *arguments),
            limit=self._limit,
            tests=tests,
            is_stopped=self._is_stopped,
        )

    def _result(
        self, mutant: Mutant, outcome: Outcome, tests: Sequence[str], killer: str = ""
    ) -> Result:
        diff = diff_of(mutant, self._sources[mutant.file])
        return Result(mutant, outcome, len(tests), killer, diff)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else ""
