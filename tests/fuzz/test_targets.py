"""Every reader gets some hostile texts in each run; `make fuzz` sends a million to each."""

from __future__ import annotations

import os
import pkgutil
import random
import signal
from collections.abc import Iterator

import pytest

from tests.fuzz.__main__ import fuzzed, hang
from tests.fuzz.hostile_text import hostile_text
from tests.fuzz.targets import TARGETS, Target
from wirecheck import parse

INPUTS = 100_000 if os.environ.get("WIRECHECK_FUZZ") == "long" else 25
NO_READERS = {"errors", "recent", "texts"}
ELSEWHERE = {"corefile_rewrites": "corefile", "nftables_texts": "nftables"}


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    before = signal.signal(signal.SIGVTALRM, hang)
    yield
    signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_texts_end_in_a_value_or_in_the_readers_own_error(name: str) -> None:
    outcome = fuzzed(name, TARGETS[name], INPUTS, 1, 20.0)

    assert outcome.fault == ""
    assert outcome.inputs == INPUTS


@pytest.mark.parametrize("name", TARGETS)
def test_the_text_of_a_target_is_read(name: str) -> None:
    target = TARGETS[name]
    if name != "failed visit":
        assert target.read(target.text) is not None


def test_every_parser_has_a_target() -> None:
    readers = {each.name for each in pkgutil.iter_modules(parse.__path__)} - NO_READERS

    assert {ELSEWHERE.get(each, each) for each in readers} <= set(TARGETS)


def test_texts_are_hostile_in_many_ways_and_the_same_for_a_seed() -> None:
    one, other = ([hostile_text("a b\nc", random.Random(seed)) for seed in range(50)] for _ in "ab")

    assert one == other
    assert len(set(one)) > 40


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (lambda text: text.index("no such text"), "ValueError"),
        (lambda _: [None for _ in iter(int, 1)], "more than"),
    ],
)
def test_a_fault_is_reported_with_its_text(read, why: str) -> None:  # type: ignore[no-untyped-def]
    outcome = fuzzed("x", Target(read, "a b c"), 50, 1, 0.1)

    assert why in outcome.fault
    assert outcome.inputs < 50 or why == "more than"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("node: UDP entries", ("dst=10.96.0.10", "dst=10.96\x00.0.10")),
        ("node: blocks of nftables", ("hairpin-connections", "hairpin\ud83d")),
    ],
)
def test_texts_that_once_ended_in_a_traceback(name: str, change: tuple[str, str]) -> None:
    target = TARGETS[name]
    assert change[0] in target.text

    target.read(target.text.replace(*change))
