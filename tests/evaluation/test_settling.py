"""Which findings of all rounds count, and how long the others have to wait."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.findings import Finding, Level, Ref
from wirecheck.catalogue.registry import Check
from wirecheck.catalogue.settling import LATER, SOON, Evidence
from wirecheck.evaluation.evidence import Age
from wirecheck.evaluation.round_result import RoundResult
from wirecheck.evaluation.settling import Settled, settled
from wirecheck.model.remedy_names import RemedyNames
from wirecheck.snapshot.index import RoundRecord

NAMES = RemedyNames(SmallCluster().cluster)
OLD_ENOUGH, YOUNG, IN_FLIGHT = Age(), Age(20.0), Age(20.0, is_changing=True)
STARTING = Age(50.0, is_changing=True, start="node n1 had started 70 s before")


def finding(name: str = "web", level: Level = Level.FAIL, found: str = "b") -> Finding:
    return Finding(Ref("Pod", name, "shop"), expected="a", found=found, level=level)


def check(*evidence: Evidence, settles: bool = True) -> Check:
    return Check(
        "a.b", "s", "w", "r", "node", settles, (), lambda _: iter(()), evidence=tuple(evidence)
    )


def at(
    started: float,
    *findings: Finding,
    undecided: tuple[Finding, ...] = (),
    age: Age = YOUNG,
    **fields: Any,
) -> RoundResult:
    """A round of two seconds, whose findings are all of one age."""
    every = (*findings, *undecided)
    return RoundResult(
        NAMES,
        int(started) // 10 + 1,
        RoundRecord(started, started + 2.0),
        findings={each.identity: each for each in findings},
        undecided={each.identity: each for each in undecided},
        ages={each.identity: age for each in every},
        **fields,
    )


def sorts(found: Settled) -> dict[str, list[str]]:
    """The names of the objects of the findings, by what became of them."""
    kinds = {
        "proven": found.proven,
        "lasting": found.lasting.keys() - found.proven,
        "moving": found.moving,
        "undecided": found.undecided,
        "flaky": found.flaky,
    }
    return {kind: sorted(ref.name for ref, *_ in some) for kind, some in kinds.items() if some}


WEB, CART = finding(), finding("cart")
OBJECTS = Evidence.OBJECTS


def test_each_finding_is_sorted_by_itself() -> None:
    rounds = [at(0, WEB, CART), at(10, CART, finding("new"))]

    assert sorts(settled(check(), rounds)) == {"lasting": ["cart"], "flaky": ["new", "web"]}


@pytest.mark.parametrize(
    ("evidence", "age", "result"),
    [
        ((OBJECTS,), OLD_ENOUGH, "proven"),
        ((OBJECTS,), YOUNG, "lasting"),
        ((), OLD_ENOUGH, "lasting"),
        ((OBJECTS, Evidence.REPEATED), OLD_ENOUGH, "lasting"),
        ((OBJECTS, Evidence.PERSISTENT), OLD_ENOUGH, "lasting"),
    ],
)
def test_one_round_proves_what_is_old_enough_and_need_not_be_repeated(
    evidence: tuple[Evidence, ...], age: Age, result: str
) -> None:
    assert sorts(settled(check(*evidence), [at(0, WEB, age=age)])) == {result: ["web"]}


def test_a_check_that_does_not_settle_proves_nothing_and_waits_for_nothing() -> None:
    found = settled(check(OBJECTS, settles=False), [at(0, WEB, age=OLD_ENOUGH)])

    assert sorts(found) == {"lasting": ["web"]}
    assert found.left == 0.0


def test_what_no_change_in_flight_explains_needs_no_further_round() -> None:
    certain = Finding(Ref("Cluster", "c"), expected="a", found="b", settled=True)

    found = settled(check(Evidence.PERSISTENT), [at(0.0, certain, age=IN_FLIGHT)])

    assert sorts(found) == {"proven": ["c"]}
    assert found.left == 0


def test_what_an_earlier_round_proved_stays_proven() -> None:
    rounds = [at(0, WEB, age=OLD_ENOUGH), at(10)]

    assert sorts(settled(check(OBJECTS), rounds)) == {"proven": ["web"]}


def test_an_object_that_changed_during_the_round_proves_nothing() -> None:
    found = settled(check(OBJECTS), [at(0, undecided=(WEB,), age=OLD_ENOUGH)])

    assert sorts(found) == {"undecided": ["web"]}


@pytest.mark.parametrize(
    ("evidence", "earliest", "left"),
    [
        # From the beginning of the first round, and from its end.
        (Evidence.REPEATED, SOON, SOON - 2),
        (Evidence.PERSISTENT, 2 + LATER, LATER),
    ],
)
def test_a_repeated_finding_is_proven_by_a_later_round(
    evidence: Evidence, earliest: float, left: float
) -> None:
    def second(started: float, *, first: tuple[Finding, ...] = (WEB,)) -> Settled:
        rounds = [at(0, *first, age=OLD_ENOUGH), at(started, WEB, age=OLD_ENOUGH)]
        return settled(check(OBJECTS, evidence), rounds)

    assert sorts(second(earliest)) == {"proven": ["web"]}
    assert sorts(second(earliest - 1)) == {"lasting": ["web"]}
    assert second(earliest - 1).left == 0
    assert sorts(second(earliest, first=())) == {"flaky": ["web"]}
    assert second(earliest, first=()).left == left


def test_the_pause_is_that_since_the_first_round_that_has_it() -> None:
    early = [at(0, WEB, age=OLD_ENOUGH), at(4, WEB, age=OLD_ENOUGH), at(12, WEB, age=OLD_ENOUGH)]

    assert sorts(settled(check(OBJECTS, Evidence.PERSISTENT), early)) == {"proven": ["web"]}


@pytest.mark.parametrize(
    ("age", "evidence", "left"),
    [
        (YOUNG, (OBJECTS,), 20.0),
        (Age(inf), (OBJECTS,), inf),
        (Age(1.0), (OBJECTS, Evidence.REPEATED), SOON - 2),
        (YOUNG, (OBJECTS, Evidence.REPEATED), 20.0),
        (YOUNG, (OBJECTS, Evidence.PERSISTENT, Evidence.REPEATED), 20.0),
        (OLD_ENOUGH, (OBJECTS, Evidence.PERSISTENT, Evidence.REPEATED), LATER),
    ],
)
def test_the_time_until_a_further_round_may_prove_it(
    age: Age, evidence: tuple[Evidence, ...], left: float
) -> None:
    assert settled(check(*evidence), [at(0, WEB, age=age)]).left == left


def test_the_longest_wait_of_several_findings_counts() -> None:
    rounds = [at(0, WEB, CART)]
    rounds[0].ages[CART.identity] = Age(30.0)
    rounds[0].ages[WEB.identity] = Age(10.0)

    assert settled(check(OBJECTS), rounds).left == 30.0


def test_for_what_the_last_round_lacks_nobody_waits() -> None:
    first = at(0, WEB, revisited={WEB.identity: frozenset({"n2"})})
    again = at(10, WEB, revisited={WEB.identity: frozenset({"n3"})})

    assert settled(check(OBJECTS), [first, at(10)]).left == 0.0
    assert settled(check(OBJECTS), [first, at(10)]).revisited == frozenset()
    assert settled(check(OBJECTS), [first, again]).revisited == frozenset({"n3"})
    assert settled(check(OBJECTS, settles=False), [first]).revisited == frozenset()


def test_the_other_nodes_of_all_findings_are_visited_again() -> None:
    nodes = {WEB.identity: frozenset({"n2"}), CART.identity: frozenset({"n3"})}

    found = settled(check(OBJECTS), [at(0, WEB, CART, revisited=nodes)])

    assert found.revisited == frozenset({"n2", "n3"})


@pytest.mark.parametrize(
    ("rounds", "result"),
    [
        ([at(0, WEB, age=IN_FLIGHT), at(10)], {}),
        ([at(0), at(10, WEB, age=IN_FLIGHT)], {}),
        ([at(0, WEB, age=YOUNG), at(10)], {"flaky": ["web"]}),
        ([at(0, undecided=(WEB,)), at(10)], {}),
        ([at(0, WEB, age=IN_FLIGHT), at(10, WEB, age=IN_FLIGHT), at(20)], {"flaky": ["web"]}),
        ([at(0, WEB), at(10, skip="the node was deleted")], {}),
        ([at(0, WEB), at(10, error="unreachable")], {"flaky": ["web"]}),
        ([at(0, finding(level=Level.ERROR)), at(10)], {"flaky": ["web"]}),
        ([at(0, finding(level=Level.WARN)), at(10)], {}),
    ],
    ids=[
        "a change in flight",
        "a change in flight in the last round",
        "nothing explains it",
        "its object changed",
        "the change lasts for two rounds",
        "the node is gone",
        "the node could not be checked again",
        "an error",
        "a warning",
    ],
)
def test_what_some_rounds_lack_is_flaky_unless_a_change_explains_it(
    rounds: list[RoundResult], result: dict[str, list[str]]
) -> None:
    found = settled(check(OBJECTS), rounds)

    assert sorts(found) == result
    assert found.has_any


@pytest.mark.parametrize(
    ("rounds", "result", "why"),
    [
        ([at(0, WEB), at(10, WEB)], "lasting", ""),
        ([at(0, WEB), at(10, WEB, age=STARTING)], "moving", STARTING.start),
        ([at(0, WEB, age=STARTING), at(10, WEB)], "lasting", ""),
        ([at(0, WEB, age=STARTING)], "lasting", ""),
        ([at(0, undecided=(WEB,)), at(10, WEB)], "moving", "the object kept changing"),
        ([at(0, undecided=(WEB,))], "undecided", ""),
    ],
)
def test_what_all_rounds_have_lasts_unless_something_keeps_changing(
    rounds: list[RoundResult], result: str, why: str
) -> None:
    found = settled(check(OBJECTS), rounds)

    assert sorts(found) == {result: ["web"]}
    assert [text for _, text in found.moving.values()] == ([why] if why else [])


def test_the_first_round_that_has_a_finding_shows_it() -> None:
    first, again = finding(found="b"), finding(found="c")

    rounds = [at(0), at(10, first), at(20, again)]
    ((shown, _),) = settled(check(), rounds).flaky.values()

    assert shown == first


def test_without_a_finding_there_is_nothing() -> None:
    found = settled(check(OBJECTS), [at(0), at(10)])

    assert not found.has_any
    assert not sorts(found)
    assert found.left == 0.0


def test_a_flaky_finding_has_its_rounds_and_their_times() -> None:
    rounds = [at(0, WEB), at(10), at(20, WEB), at(30)]

    ((_, flaky),) = settled(check(), rounds).flaky.values()

    assert (flaky.rounds, flaky.of) == ([1, 3], [1, 2, 3, 4])
    assert (flaky.first, flaky.last) == ("1970-01-01T00:00:00Z", "1970-01-01T00:00:22Z")
