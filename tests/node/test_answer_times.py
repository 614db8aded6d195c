"""The distribution of DNS answer times, by nearest rank."""

from __future__ import annotations

import pytest

from wirecheck.node.answer_times import AnswerTimes


def times(*milliseconds: float) -> AnswerTimes:
    found = AnswerTimes.of([each / 1000 for each in milliseconds])
    assert found
    return found


def test_without_answers_there_is_no_distribution() -> None:
    assert AnswerTimes.of([]) is None


@pytest.mark.parametrize(
    ("count", "median", "slowest"),
    [(1, 1, 1), (2, 1, 2), (3, 2, 3), (4, 2, 4), (99, 50, 99), (100, 50, 99), (101, 51, 100),
     (200, 100, 198)],
)  # fmt: skip
def test_percentiles_are_times_that_were_measured(count: int, median: int, slowest: int) -> None:
    found = times(*range(count, 0, -1))

    assert (round(found.median), round(found.slowest)) == (median, slowest)


def test_the_text_has_the_slowest_answer_of_all() -> None:
    assert str(times(*range(200, 0, -1))) == (
        "median 100 ms, 99th percentile 198 ms, at most 200 ms, of 200 answers"
    )
