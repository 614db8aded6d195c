"""The exit status and the verdict of a run, from its items."""

from __future__ import annotations

from typing import Any

import pytest

from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.evaluation.verdict import (
    counts,
    exit_status,
    fails,
    only_inconclusive,
    spared_nodes,
    verdict,
)
from wirecheck.results.records import FindingRecord, ItemResult, Object

PASS, SKIP, WARN, FAIL = Outcome.PASS, Outcome.SKIP, Outcome.WARN, Outcome.FAIL
ERROR, FLAKY, KNOWN, WAIVED = Outcome.ERROR, Outcome.FLAKY, Outcome.KNOWN, Outcome.WAIVED
FINDING = FindingRecord(Object("Pod", "web"), Level.WARN, "a", "b", "k")


def items(*outcomes: Outcome) -> list[ItemResult]:
    return [ItemResult(f"a.c{number}", each) for number, each in enumerate(outcomes)]


def unsure(**fields: Any) -> ItemResult:
    """An item of a check that counts, with an inconclusive object and no other."""
    return ItemResult("a.unsure", PASS, **{"unjudged": {"a policy": 1}, "conclusive": 0, **fields})


@pytest.mark.parametrize(
    ("some", "options", "status"),
    [
        ([], {}, 5),
        ([], {"interrupted": True}, 2),
        (items(SKIP), {"interrupted": True}, 2),
        (items(SKIP, PASS), {}, 0),
        (items(PASS), {"interrupted": True}, 2),
        (items(FAIL), {"interrupted": True}, 1),
        (items(FAIL, ERROR), {}, 1),
        (items(ERROR), {}, 2),
        (items(WARN, KNOWN, WAIVED, FLAKY), {}, 0),
        ([unsure()], {}, 2),
        ([unsure()], {"fail_on": "never"}, 0),
        ([unsure(conclusive=1)], {}, 0),
        (items(PASS), {"interrupted": True, "fail_on": "never"}, 0),
    ],
)
def test_the_exit_status(some: list[ItemResult], options: dict[str, Any], status: int) -> None:
    assert exit_status(some, **options) == status


@pytest.mark.parametrize(
    ("fail_on", "outcomes"),
    [
        ("fail", {FAIL}),
        ("flaky", {FAIL, FLAKY}),
        ("warn", {FAIL, FLAKY, WARN}),
        ("never", set()),
    ],
)
def test_the_outcomes_that_fail_a_run(fail_on: Any, outcomes: set[Outcome]) -> None:
    assert {each for each in Outcome if fails(each, fail_on)} == outcomes


def test_outcomes_are_counted() -> None:
    assert counts(items(PASS, FAIL, PASS)) == {"pass": 2, "fail": 1}


@pytest.mark.parametrize(
    ("some", "checks"),
    [
        ([unsure()], ["a.unsure"]),
        # One object on another node was decided.
        ([unsure(), unsure(node="w2", unjudged={}, conclusive=1)], []),
        ([unsure(findings=[FINDING])], []),
        # A check that does not count its objects evaluates the node as a whole.
        ([unsure(conclusive=None)], []),
        ([unsure(unjudged={})], []),
        ([], []),
    ],
)
def test_the_checks_that_could_decide_nothing(some: list[ItemResult], checks: list[str]) -> None:
    assert only_inconclusive(some) == checks


def visits(seen: list[str], missing: list[str]) -> list[ItemResult]:
    outcomes = [*((name, PASS) for name in seen), *((name, ERROR) for name in missing)]
    return [ItemResult("nodes.reachable", outcome, node=name) for name, outcome in outcomes]


@pytest.mark.parametrize(
    ("some", "unreachable", "spared"),
    [
        (visits(["w1"], ["w3", "w2"]), 2, ["w2", "w3"]),
        (visits(["w1"], ["w3", "w2"]), 1, []),
        (visits([], ["w2"]), 1, []),
        (visits(["w1"], []), 1, []),
        ([*visits(["w1"], []), ItemResult("a.b", ERROR, node="w2")], 1, []),
        ([*visits([], ["w2"]), ItemResult("a.b", PASS, node="w1")], 1, []),
    ],
)
def test_so_many_nodes_may_be_missing(
    some: list[ItemResult], unreachable: int, spared: list[str]
) -> None:
    assert spared_nodes(some, unreachable) == spared


@pytest.mark.parametrize(
    ("some", "options", "sentence"),
    [
        (items(PASS), {}, "Healthy."),
        (items(PASS, WARN), {}, "Healthy, 1 check warned."),
        (
            items(PASS, KNOWN, WAIVED),
            {},
            "Nothing new, 1 check known from the baseline, 1 check waived.",
        ),
        ([], {}, "Nothing was checked."),
        (items(SKIP), {}, "Nothing was checked."),
        (items(SKIP, SKIP), {"catalogue": 9}, "2 of 9 checks run: not applicable."),
        ([], {"catalogue": 9}, "Nothing was checked."),
        ([], {"part": "node w1"}, "Node w1: nothing was checked."),
        (items(SKIP), {"part": "node w1"}, "Node w1: not applicable."),
        (items(PASS, SKIP), {"catalogue": 9}, "2 of 9 checks run: passed, 1 check not applicable."),
        (items(PASS), {"catalogue": 9}, "1 of 9 checks run: passed."),
        (items(WARN), {"catalogue": 9}, "1 of 9 checks run: 1 check warned."),
        (
            items(SKIP, WARN),
            {"part": "node w1"},
            "Node w1: 1 check not applicable, 1 check warned.",
        ),
        (
            items(FAIL),
            {"part": "node w1", "catalogue": 9},
            "Node w1, 1 of 9 checks run: 1 check failed, 1 root cause.",
        ),
        (
            items(FAIL, ERROR),
            {"interrupted": True},
            "1 check failed, 1 root cause, 1 check could "
            "not be completed, the run was interrupted.",
        ),
        (items(PASS), {"interrupted": True}, "The run was interrupted."),
        (items(FLAKY), {}, "Flaky: 1 check failed in some rounds only."),
        (items(FLAKY), {"part": "node w1"}, "Flaky: 1 check failed in some rounds only (node w1)."),
        (
            items(FLAKY, FAIL),
            {"part": "node w1"},
            "Node w1: 1 check failed, 1 root cause, flaky: 1 check failed in some rounds only.",
        ),
        ([unsure()], {}, "1 check could decide nothing (a.unsure)."),
        (
            items(PASS, PASS),
            {"prerequisites": ["a.c1"], "catalogue": 9},
            "1 of 9 checks run: passed.",
        ),
    ],
)
def test_the_verdict(some: list[ItemResult], options: dict[str, Any], sentence: str) -> None:
    assert verdict(some, **options) == sentence


def test_the_nodes_of_flaky_checks_are_counted() -> None:
    some = [ItemResult("a.b", FLAKY, node=name) for name in ("w1", "w2")]

    assert verdict(some) == "Flaky: 1 check failed in some rounds only, on 2 nodes."


def test_of_the_checks_that_could_decide_nothing_three_are_named() -> None:
    some = [
        ItemResult(f"a.{name}", PASS, unjudged={"a policy": 1}, conclusive=0) for name in "abcd"
    ]

    assert verdict(some) == "4 checks could decide nothing (a.a, a.b, a.c and 1 more)."
    assert verdict(some[:3]) == "3 checks could decide nothing (a.a, a.b, a.c)."
