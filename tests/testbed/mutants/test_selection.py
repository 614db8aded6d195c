"""Which tests a mutant faces, and in which order."""

from __future__ import annotations

import pytest

from testbed.mutants.draw import Mutant
from testbed.mutants.recording import Recording, Seconds
from testbed.mutants.selection import select, touching

SOURCE = """\
SIZE = 3


@decorated(
    by=4,
)
def first(a=1):
    if (
        a
        > 2
    ):
        a = 5
    else:
        a = 6
    return [
        b
        for b in a
        if b
    ]


class Record:
    size: int = 2

    def second(self):
        return 7


TABLE = {
    "a": lambda x: x + 1,
}
"""
LINES = {
    8: ["if"],
    10: ["if"],
    12: ["then"],
    14: ["else"],
    15: ["list"],
    18: ["if b"],
    26: ["second"],
    30: ["lambda"],
}


def facing(line: int, lines: dict[int, list[str]] = LINES) -> set[str]:
    sources = {
        "p/a.py": SOURCE,
        "p/b.py": "from p.a import SIZE\n\ndef third():\n    return SIZE\n",
    }
    recorded = {"p/a.py": lines, "p/b.py": {4: ["third"]}}
    return touching(Mutant("p/a.py", line, line, "x", 0), sources, Recording({}, recorded, []))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (9, {"if"}),
        (10, {"if"}),
        (12, {"then"}),
        (14, {"else"}),
        (16, {"list", "if b"}),
        (26, {"second"}),
    ],
)
def test_a_statement_faces_the_tests_of_its_own_lines(line: int, expected: set[str]):
    assert facing(line) == expected


@pytest.mark.parametrize("line", [5, 7])
def test_decorators_and_defaults_face_the_tests_of_their_function(line: int):
    assert facing(line) == {"if", "then", "else", "list", "if b"}


@pytest.mark.parametrize("line", [1, 23])
def test_constants_and_fields_face_the_tests_of_their_file(line: int):
    assert facing(line) == {"if", "then", "else", "list", "if b", "second"}


def test_a_function_in_a_constant_faces_its_own_tests_too():
    assert facing(30, lines={30: ["lambda"]}) == {"third", "lambda"}


def test_a_file_without_tested_functions_faces_the_tests_of_those_that_import_it():
    assert facing(1, lines={}) == {"third"}


def test_each_file_gives_a_test_before_any_gives_a_second():
    seconds = {
        "a::1": Seconds(0, 1),
        "a::2": Seconds(0, 2),
        "a::3": Seconds(0, 3),
        "b::1": Seconds(0, 4),
    }

    assert select(seconds, seconds, 5, {}) == ["a::1", "b::1"]
    assert select(seconds, seconds, 7, {}) == ["a::1", "a::2", "b::1"]
    assert select(seconds, seconds, 100, {}) == ["b::1", "a::1", "a::2", "a::3"]


def test_fixtures_of_a_file_are_paid_once():
    seconds = {"a::1": Seconds(5, 1), "a::2": Seconds(0, 1)}

    assert select(seconds, seconds, 7, {}) == ["a::1", "a::2"]
    assert select(seconds, seconds, 6.5, {}) == ["a::1"]


def test_a_mutant_always_faces_one_test():
    assert select(["a::1"], {"a::1": Seconds(0, 50)}, 30, {}) == ["a::1"]


def test_tests_that_run_other_lines_come_before_more_of_the_same():
    seconds = {"a::1": Seconds(0, 1), "a::2": Seconds(0, 2), "a::3": Seconds(0, 3)}
    lines = {1: ["a::1", "a::2", "a::3"], 2: ["a::3"]}

    assert select(seconds, seconds, 4, lines) == ["a::1", "a::3"]
    assert select(seconds, seconds, 4, {}) == ["a::1", "a::2"]
