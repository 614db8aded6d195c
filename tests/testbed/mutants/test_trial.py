"""What becomes of a mutant: killed, survived, timed out or without a test."""

from __future__ import annotations

import pytest

from testbed.mutants.trial import Outcome, Result, Trial
from tests.testbed.mutants.conftest import CALC, Small


def run(small: Small, operator: str, before: str, after: str, limit: float = 60) -> Result:
    trial = Trial(small.tree, small.sources, small.recording, limit=limit)
    return trial.run(small.mutant(operator, before, after))


def test_the_recording_has_the_tests_of_each_line(small: Small):
    lines = CALC.splitlines()
    recorded = small.recording.lines["pkg/calc.py"]

    def of(text: str) -> list[str]:
        return [test.partition("::")[2] for test in recorded.get(lines.index(text) + 1, [])]

    assert of("    return a > b") == ["test_larger"]
    assert of("        number -= 1") == ["test_count"]
    # A program that the test starts.
    assert of("    return number * 2") == ["test_process"]
    # Tests that fail or are skipped prove nothing.
    assert of("    return number + 1") == []
    assert small.recording.failed == ["t/test_calc.py::test_failing"]
    assert "t/test_calc.py::test_skipped" not in small.recording.tests


def test_a_mutant_that_a_test_notices_is_killed(small: Small):
    operator = "ReplaceComparisonOperator_Gt_GtE"
    result = run(small, operator, "    return a > b", "return a >= b")

    assert result.outcome is Outcome.KILLED
    assert (result.tests, result.killer) == (1, "t/test_calc.py::test_larger")
    assert "-    return a > b\n+    return a >= b" in result.diff


def test_a_mutant_that_no_test_notices_survives(small: Small):
    operator = "ReplaceComparisonOperator_Lt_LtE"
    result = run(small, operator, "    return number < LIMIT", "return number <= LIMIT")

    assert (result.outcome, result.tests, result.killer) == (Outcome.SURVIVED, 1, "")


@pytest.mark.slow
def test_a_mutant_that_never_ends_times_out(small: Small):
    result = run(small, "NumberReplacer", "        number -= 1", "number -= 0", limit=6)

    assert (result.outcome, result.tests) == (Outcome.TIMED_OUT, 1)


def test_a_mutant_in_a_program_that_a_test_starts_is_killed(small: Small):
    operator = "ReplaceBinaryOperator_Mul_Add"
    result = run(small, operator, "    return number * 2", "return number + 2")

    assert (result.outcome, result.killer) == (Outcome.KILLED, "t/test_calc.py::test_process")


def test_a_mutant_whose_line_no_test_touches_has_no_tests(small: Small):
    result = run(small, "NumberReplacer", "    return number + 1", "return number + 2")

    assert (result.outcome, result.tests) == (Outcome.NO_TESTS, 0)


def test_a_constant_faces_the_tests_of_its_module(small: Small):
    result = run(small, "NumberReplacer", "LIMIT = 10", "LIMIT = 11")

    # Six touch it, and one of these fails without the others.
    assert (result.outcome, result.tests) == (Outcome.SURVIVED, 5)


def test_a_mutant_that_cannot_be_imported_is_killed(small: Small):
    result = run(small, "NumberReplacer", "SHARE = LIMIT // 1", "SHARE = LIMIT // 0")

    assert result.outcome is Outcome.KILLED


def test_tests_that_fail_now_and_then_or_alone_kill_nothing(small: Small):
    (small.tree.path / "t/armed").write_text("")
    operator = "ReplaceBinaryOperator_FloorDiv_Mul"

    result = run(small, operator, "    return number // 1", "return number * 1")

    assert result.outcome is Outcome.SURVIVED
    assert not (small.tree.path / "t/armed").exists()


def test_the_tree_is_as_before_and_the_project_was_never_touched(small: Small):
    run(small, "ReplaceComparisonOperator_Gt_Lt", "    return a > b", "return a < b")

    for folder in (small.tree.path, small.project):
        assert (folder / "pkg/calc.py").read_text() == CALC


def test_what_a_killed_run_left_in_the_tree_is_put_right(small: Small):
    copy = small.tree.path / "pkg/calc.py"
    copy.write_text(CALC.replace("a > b", "a < b"))
    (copy.parent / "gone.py").write_text("")

    small.synchronise()

    assert copy.read_text() == CALC
    assert not (copy.parent / "gone.py").exists()
