"""No pattern takes more steps than its text grows: what doubles takes twice as many."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest

from tests.fuzz.__main__ import MOST_GROWTH
from tests.fuzz.patterns import modules, patterns
from tests.fuzz.regex_steps import growth, steps


@pytest.fixture(autouse=True)
def deep() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("module", modules())
def test_twice_the_text_takes_twice_the_steps(module: str) -> None:
    for each in patterns(module):
        worst, text = growth(each.pattern, searches=each.searches, length=12)
        assert worst <= MOST_GROWTH, f"{each.name}: {worst:.1f} times as many steps for {text!r}"


@pytest.mark.parametrize(
    ("pattern", "searches", "grows"),
    [
        (r"(a+)+b", False, True),
        (r"\s*([^\[\]]+?)\s*\]", False, True),
        (r"sudo:.*password", True, True),
        (r"\S+:0", True, True),
        (r"(?:a|ab)(?:c|bcd)*d", False, False),
        (r"^\S+:0", False, False),
        (r'"(?:[^"\\]|\\.)*"', False, False),
        (r"-A (\S+)(?: [^\n]*)?\n(?:-A \1(?: [^\n]*)?\n)*", False, False),
    ],
)
def test_growth_is_seen(pattern: str, searches: bool, grows: bool) -> None:
    worst, _ = growth(re.compile(pattern), searches=searches, length=12)
    assert (worst > MOST_GROWTH) is grows, worst


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"a*b", "aaab"),
        (r"(?i)AB?c", "xxabC"),
        (r"(\w+) \1$", "a b b"),
        (r"(?<=x)y(?!z)", "xy"),
        (r"^b", "a"),
        (r"[^a-c]\d{2,3}?\b", "d12 "),
        (rb"a(?:b|c)+", "acb"),
    ],
)
def test_it_matches_as_re_does(pattern: str | bytes, text: str) -> None:
    compiled = re.compile(pattern)
    subject = text.encode() if isinstance(pattern, bytes) else text
    counted = steps(compiled, text, searches=True)
    # A search that succeeds ends before the last start, one that fails tries them all.
    assert counted > 0
    assert bool(compiled.search(subject)) is (pattern != r"^b")  # type: ignore[arg-type]
