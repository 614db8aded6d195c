"""Many mutants: resumed, stopped, counted."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from testbed.mutants import __main__ as command
from testbed.mutants import summary
from testbed.mutants.campaign import Deadline, Log, run_all, still_killed
from testbed.mutants.draw import Mutant, diff_of, draw
from testbed.mutants.pytest_run import StoppedError
from testbed.mutants.trial import Outcome, Result

MUTANTS = [Mutant(f"pkg/part/{n}.py", n, n, "core/NumberReplacer", n) for n in range(6)]


class FakeTrial:
    def __init__(self, stop_at: int = -1, fail_at: int = -1) -> None:
        self.ran: list[int] = []
        self._stop_at = stop_at
        self._fail_at = fail_at
        self._lock = threading.Lock()

    def run(self, mutant: Mutant) -> Result:
        with self._lock:
            if mutant.line == self._stop_at:
                raise StoppedError
            if mutant.line == self._fail_at:
                raise OSError("no space left")
            self.ran.append(mutant.line)
        return result(mutant)


def result(mutant: Mutant, outcome: Outcome = Outcome.KILLED) -> Result:
    return Result(mutant, outcome, 3, "t::a", f"-{mutant.line}\n+x")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "run/results.jsonl")


def test_every_mutant_has_a_result_in_the_order_of_the_draw(log: Log):
    trial = FakeTrial()
    seen: list[int] = []

    found = run_all(MUTANTS, [trial, trial], log, Deadline(60), lambda _, done: seen.append(done))

    assert [each.mutant for each in found] == MUTANTS
    assert sorted(trial.ran) == list(range(6))
    assert seen == [1, 2, 3, 4, 5, 6]


def test_a_run_goes_on_where_an_earlier_one_ended(log: Log):
    run_all(MUTANTS, [FakeTrial(stop_at=2)], log, Deadline(60), lambda *_: None)
    with log.file.open("ab") as file:
        file.write(b'{"mutant": {"file": "cut o')
    trial = FakeTrial()

    found = run_all(MUTANTS, [trial], log, Deadline(60), lambda *_: None)

    assert trial.ran == [2, 3, 4, 5]
    assert [each.mutant for each in found] == MUTANTS
    assert len(log.read()) == 6


def test_after_the_deadline_no_mutant_runs(log: Log):
    trial = FakeTrial()

    assert run_all(MUTANTS, [trial], log, Deadline(0), lambda *_: None) == []
    assert trial.ran == []


def test_an_error_ends_the_run_and_is_raised(log: Log):
    with pytest.raises(OSError, match="no space left"):
        run_all(MUTANTS, [FakeTrial(fail_at=3)], log, Deadline(60), lambda *_: None)

    assert len(log.read()) == 3


def test_what_an_earlier_run_killed_is_not_repeated_if_nothing_about_it_changed():
    source = "x = 1\n"
    drawn = draw({"a.py": source, "b.py": source, "c.py": source}, 1, 3)
    earlier = [Result(m, Outcome.KILLED, 1, "t::a", diff_of(m, source)) for m in drawn]

    def kept(previous: list[Result], **changes: str) -> set[str]:
        sources = {"a.py": source, "b.py": source, "c.py": source, **changes}
        return {each.mutant.file for each in still_killed(drawn, previous, sources, {"t::a"})}

    assert kept(earlier) == {"a.py", "b.py", "c.py"}
    assert kept(earlier, **{"a.py": "x = 1\ny = 2\n"}) == {"b.py", "c.py"}
    assert kept([replace(each, killer="t::gone") for each in earlier]) == set()
    assert kept([replace(each, outcome=Outcome.SURVIVED) for each in earlier]) == set()
    assert (
        still_killed(drawn[:1], earlier, {m.file: source for m in drawn}, {"t::a"}) == earlier[:1]
    )


def test_the_summary_counts_and_shows_who_survived():
    outcomes = [
        Outcome.KILLED,
        Outcome.KILLED,
        Outcome.SURVIVED,
        Outcome.TIMED_OUT,
        Outcome.NO_TESTS,
    ]
    found = [result(mutant, outcome) for mutant, outcome in zip(MUTANTS, outcomes, strict=False)]
    line = (
        "6 mutants: 2 killed, 1 survived, 1 timed out, 1 no tests, 0 uncertain, 1 not run "
        "(33.3 % killed, 50.0 % with time-outs)"
    )

    assert summary.counts(found, 6) == line
    page = summary.markdown(found, 6, 7)
    assert f"Seed 7. {line}." in page
    assert "| `pkg/part` | 5 | 2 | 1 | 1 | 1 | 0 |" in page
    assert "## `pkg/part/2.py` line 2\n\nSurvived; tests: 3.\n\n```diff\n-2\n+x\n```" in page
    assert "pkg/part/0.py" not in page
    assert summary.survivors(found) == (
        "# pkg/part/2.py:2 NumberReplacer #2: survived, tests: 3\n-2\n+x\n\n"
        "# pkg/part/4.py:4 NumberReplacer #4: no tests, tests: 3\n-4\n+x\n"
    )


def test_every_folder_that_is_mutated_exists():
    for folder in (*command.MUTATED, *command.RECORDED):
        assert list((command.PROJECT / folder).rglob("*.py"))
