"""The item of one check: what of all its findings is recorded, and how."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.findings import Finding, Level, Outcome, Ref, Since
from wirecheck.catalogue.registry import Check
from wirecheck.evaluation.items import item_of, since_record
from wirecheck.evaluation.round_result import RoundResult
from wirecheck.evaluation.settling import Settled
from wirecheck.model.remedy_names import RemedyNames
from wirecheck.results.records import FlakyRounds, ItemResult
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex, Waiver

NAMES = RemedyNames(SmallCluster().node)
INDEX = SnapshotIndex(1, "0", 0.0)
WEB = Ref("Pod", "web", "shop", part="eth0", uid="u", workload="Deployment/web")


def finding(subject: Ref = WEB, **fields: Any) -> Finding:
    return Finding(subject, **{"expected": "a", "found": "b", **fields})


def check(remedy: str = "", **fields: Any) -> Check:
    return Check(
        "a.b", "s", "w", remedy, "node", settles=True, thresholds=(), function=iter, **fields
    )


def rounds(*errors: str, skip: str = "", **fields: Any) -> list[RoundResult]:
    return [
        RoundResult(NAMES, number, RoundRecord(0.0, 0.0), error=error, skip=skip, **fields)
        for number, error in enumerate(errors or ("",), start=1)
    ]


def item(
    *lasting: Finding,
    of: list[RoundResult] | None = None,
    checked: Check | None = None,
    index: SnapshotIndex = INDEX,
    reason: str = "",
    **fields: Any,
) -> ItemResult:
    known = {each.identity: each for each in lasting}
    found = Settled(**{"lasting": known, "has_any": bool(lasting), **fields})
    some = rounds() if of is None else of
    return item_of(checked or check(), "n1", some, found, visit_reason=reason, index=index)


def test_without_a_finding_it_passes() -> None:
    passed = item()

    assert (passed.outcome, passed.reason, passed.findings) == (Outcome.PASS, "", [])
    assert passed.conclusive is None
    assert not passed.folded


def test_of_later_rounds_errors_count_only_if_something_was_found() -> None:
    some = rounds("", "late", "late", "later")

    assert item(of=some).outcome is Outcome.PASS
    assert item(finding(), of=some).reason == "late"
    assert item(of=some, has_any=True).outcome is Outcome.ERROR
    assert item(of=rounds("first", "late")).reason == "first"


def test_the_reason_why_it_does_not_apply_is_that_of_the_first_round() -> None:
    skipped = item(of=rounds(skip="no pod"))

    assert (skipped.outcome, skipped.reason) == (Outcome.SKIP, "no pod")


@pytest.mark.parametrize(
    ("reason", "error", "skip", "folded"),
    [
        ("refused", "refused", "", True),
        ("refused", "", "refused", True),
        ("refused", "another", "", False),
        ("", "", "", False),
    ],
)
def test_an_item_that_repeats_why_the_node_was_not_visited_is_folded(
    reason: str, error: str, skip: str, folded: bool
) -> None:
    assert item(of=rounds(error, skip=skip), reason=reason).folded is folded


def test_the_check_of_the_visit_itself_is_not_folded() -> None:
    reachable = Check(
        "nodes.reachable", "s", "w", "", "node", settles=False, thresholds=(), function=iter
    )

    assert not item(of=rounds("refused"), reason="refused", checked=reachable).folded


def test_a_check_that_counts_has_the_number_of_objects_that_it_decided() -> None:
    some = rounds(conclusive=3, unjudged=Counter({"a policy": 2}))

    counted = item(finding(), of=some, checked=check(counts=True))

    assert (counted.conclusive, counted.unjudged) == (4, {"a policy": 2})
    assert item(finding(), of=some).conclusive is None


def test_objects_that_changed_are_named_once() -> None:
    cart = finding(Ref("Pod", "cart", "shop"))
    some = {each.identity: each for each in (finding(), finding(expected="c"), cart)}

    assert item(undecided=some).undecided == ["Pod shop/cart", "Pod shop/web eth0"]


def test_a_proven_finding_was_in_some_rounds_and_a_lasting_one_in_all() -> None:
    proven, lasting = finding(), finding(expected="c")
    some = rounds("", "", "")
    for each in some[:2]:
        each.findings[proven.identity] = proven

    first, second = item(proven, lasting, of=some, proven={proven.identity}).findings

    assert (first.proven, first.looks) == (True, 2)
    assert (second.proven, second.looks) == (False, 3)


@pytest.mark.parametrize(
    ("level", "recorded"),
    [(Level.WARN, Level.WARN), (Level.FAIL, Level.ERROR), (Level.ERROR, Level.ERROR)],
)
def test_what_lasts_while_something_changes_is_no_failure(level: Level, recorded: Level) -> None:
    moving = {WEB: (finding(level=level), "n1 starts")}

    (record,) = item(of=rounds("", ""), moving=moving).findings

    assert record.level is recorded
    assert record.found == "b, in each of 2 rounds, while n1 starts"


def test_a_flaky_finding_was_in_its_rounds() -> None:
    flaky = FlakyRounds([1, 3], [1, 2, 3], "", "")

    (record,) = item(of=rounds("", "", ""), flaky={WEB: (finding(), flaky)}).findings

    assert (record.flaky, record.looks) == (flaky, 2)


def test_the_reasons_of_all_waivers_are_given_once() -> None:
    cart, shop = (Ref("Pod", "x", space) for space in ("cart", "shop"))
    waivers = [
        Waiver("a.*", f"{space}/*", f"about {space}", "me", "2027-01-01")
        for space in ("cart", "shop")
    ]
    index = SnapshotIndex(1, "0", 0.0, waivers=waivers)
    some = finding(cart), finding(shop), finding(shop, expected="c")

    waived = item(*some, index=index)

    assert waived.outcome is Outcome.WAIVED
    assert waived.reason == "about cart (me, until 2027-01-01); about shop (me, until 2027-01-01)"
    assert {each.standing for each in waived.findings} == {"waived"}
    assert item(*some, finding(Ref("Pod", "x", "ops")), index=index).reason != waived.reason
    assert item(finding(cart), of=rounds("unread"), index=index).reason == "unread"


def test_the_remedy_has_the_names_of_the_finding() -> None:
    node = Ref("Node", "n1")

    records = item(
        finding(), finding(node), checked=check("Run `describe pod {pod}` on {node}.")
    ).findings

    assert records[0].remedy == "Run `describe pod web` on n1."
    assert [each.inspect for each in records] == ["pod shop/web", "node n1"]


def test_a_finding_can_have_a_remedy_of_its_own() -> None:
    own = finding(expected="c", remedy="Wait.")

    assert [each.remedy for each in item(finding(), own, checked=check("Act.")).findings] == [
        "Act.",
        "Wait.",
    ]
    assert item(finding(), checked=check("Act.")).findings[0].remedy == ""


@pytest.mark.parametrize(
    ("subject", "key"),
    [
        (WEB, "a.b/Pod/shop/Deployment/web"),
        (Ref("Pod", "web", "shop", part="eth0"), "a.b/Pod/shop/web"),
        (Ref("Node", "n1", part="eth0"), "a.b/Node/n1/eth0"),
        (Ref("Service", "web", "shop", workload="x"), "a.b/Service/shop/web"),
    ],
)
def test_the_key_is_the_same_after_a_pod_was_replaced(subject: Ref, key: str) -> None:
    assert item(finding(subject)).findings[0].key == key


@pytest.mark.parametrize(
    ("since", "time"),
    [(Since(0.0, "the log"), "1970-01-01T00:00:00Z"), (None, None), (Since(1e18, "the log"), None)],
)
def test_an_impossible_time_is_left_out(since: Since | None, time: str | None) -> None:
    record = since_record(finding(since=since))

    assert (record.time if record else None) == time
    assert item(finding(since=since)).findings[0].since == record


def many(number: int, **fields: Any) -> list[Finding]:
    return [finding(Ref("Pod", f"p{n}", "shop"), **fields) for n in range(number)]


def test_a_hundred_findings_are_listed_and_of_more_the_last_one_counts_the_rest() -> None:
    assert len(item(*many(100)).findings) == 100

    *listed, further = item(*many(101)).findings
    assert (len(listed), further.found) == (99, "2 more findings, not listed")
    assert str(further.object) == "Node n1 further objects"
    assert further.key.startswith("a.b/Node/n1/further objects/")


def test_the_worst_are_listed_first_and_waived_ones_last() -> None:
    index = SnapshotIndex(1, "0", 0.0, waivers=[Waiver("a.*", "shop/p0", "r", "me", "2027-01-01")])
    flaky = finding(Ref("Pod", "flaky", "shop"))
    warned, unread = finding(level=Level.WARN), finding(expected="c", level=Level.ERROR)
    rounds_of = FlakyRounds([1], [1, 2], "", "")

    records = item(*many(98), warned, unread, index=index, flaky={WEB: (flaky, rounds_of)}).findings

    order = [(each.object.name, each.level.value) for each in records]
    assert order[:97] == [(f"p{n}", "fail") for n in range(1, 98)]
    assert order[97:99] == [("web", "error"), ("web", "warn")]
    # The further ones are the flaky finding and the waived one.
    assert records[99].found == "2 more findings, not listed"
    assert records[99].flaky == rounds_of
