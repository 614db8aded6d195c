"""No regular expression takes longer and longer for each further character of a hostile text."""

from __future__ import annotations

import re
import time

import pytest

from tests.pattern_pumps import Expression, expressions, pumped

READ_FROM_CLUSTERS = (
    "wirecheck/snapshot",
    "wirecheck/collect/api",
    "wirecheck/inventory",
    "wirecheck/report",
    "wirecheck/parse",
    "wirecheck/dataplane",
    "wirecheck/network",
    "wirecheck/node",
    "wirecheck/results",
    "wirecheck/inspect",
    "wirecheck/api_index",
    "wirecheck/collect/plan",
    "wirecheck/collect/pods",
)
"""What reads texts of any length: snapshots, API objects, output of tools, the inventory."""

SHORT, FACTOR, TRIES = 800, 8, 4
TOO_MUCH = 3 * FACTOR
"""Eight times the length takes eight times as long, or 64 times if time grows with its square."""


def seconds(expression: Expression, text: str) -> float:
    """Of this thread's own work: what else the machine does has no part in it."""
    began = time.thread_time()
    expression.run(text)
    return time.thread_time() - began


def growth(expression: Expression, short: str, long: str) -> float:
    """How many times as long the long text takes: the least of several measurements."""
    ratios = []
    for _ in range(TRIES):
        # The first is the least of several, because it is so short that it varies most.
        first = sorted(seconds(expression, short) for _ in range(5))[2]
        ratios.append(seconds(expression, long) / max(first, 1e-9))
        if ratios[-1] < TOO_MUCH:
            break
    return min(ratios)


def growing(expression: Expression) -> str:
    """The first text for which its time grows faster than the length, shortened; empty if none."""
    texts = zip(
        pumped(expression.compiled, SHORT),
        pumped(expression.compiled, SHORT * FACTOR),
        strict=True,
    )
    hostile = (short for short, long in texts if growth(expression, short, long) >= TOO_MUCH)
    return next(hostile, "")[:80]


@pytest.mark.parametrize("folder", READ_FROM_CLUSTERS)
def test_time_grows_with_the_length_of_the_text(folder: str) -> None:
    found = expressions([folder])

    assert {each.place: text for each in found if (text := growing(each))} == {}


def test_there_are_patterns_to_try() -> None:
    assert len(list(expressions(READ_FROM_CLUSTERS))) > 100


@pytest.mark.parametrize(
    ("pattern", "method", "is_growing"),
    [
        (r"^(\s*(?:secret|password)\s).*$", "sub", True),
        (r"^([^\S\n]*(?:secret|password)\s).*$", "sub", False),
        (r"\bKUBE(?:-[A-Z]+)+-[A-Z2-7]{16}\b", "sub", True),
        (r"\bKUBE(?:-[A-Z]{1,16}){1,4}-[A-Z2-7]{16}\b", "sub", False),
        (r"[0-9a-f.:]+/\d{1,3}", "findall", True),
        (r"[0-9a-f.:]+/\d{1,3}", "fullmatch", False),
        (r"(?<![0-9a-f.:])[0-9a-f.:]+/\d{1,3}", "findall", False),
        (r'"[^"\\]*(?:\\.[^"\\]*)*"', "sub", True),
        (r'"(?:[^"\\]++|\\.)*+"?', "sub", False),
        (r"a/(.*?)(?:__(.+)/(\d+))?$", "match", True),
        (r"a/([^/_]*)(?:__([^/]+)/(\d+))?$", "match", False),
        (r"{([^}]*)}", "findall", True),
        (r"{([^{}]*)}", "findall", False),
        (r"(?<=://)([^@/]*):[^@]*@", "sub", True),
        (r"(?:a|a)+b", "search", True),
    ],
)
def test_a_pattern_that_grows_is_noticed(pattern: str, method: str, is_growing: bool) -> None:
    expression = Expression("", re.compile(pattern, re.MULTILINE), frozenset({method}))
    if pattern.startswith("(?:a|a)"):
        # Exponential: a long text would never end.
        assert growth(expression, "a" * 8, "a" * 16) >= TOO_MUCH
        return
    assert bool(growing(expression)) == is_growing
