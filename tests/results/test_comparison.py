"""What is new against an earlier run: keys outlive nodes and pods, and are counted."""

from __future__ import annotations

from msgspec.structs import replace

from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.results.comparison import compared
from wirecheck.results.records import FURTHER, FindingRecord, ItemResult, Object

CHECK = "services.backends_programmed"


def of(name: str = "web-1", key: str = "", level: Level = Level.FAIL) -> FindingRecord:
    about = Object("Pod", name, "shop", workload="Deployment/web")
    return FindingRecord(about, level, "10.0.0.1", "nothing", key or f"{CHECK}/Pod/shop/web")


def item(*findings: FindingRecord, node: str = "w1", check: str = CHECK) -> ItemResult:
    levels = {finding.level for finding in findings}
    outcome = Outcome.PASS
    if levels:
        outcome = Outcome.FAIL if Level.FAIL in levels else Outcome.WARN
    return ItemResult(check, outcome, node=node, findings=list(findings))


def outcomes(before, now) -> list[Outcome]:
    return [each.outcome for each in compared(before, now, {CHECK}).items]


def test_what_failed_before_is_known():
    assert outcomes([item(of())], [item(of())]) == [Outcome.KNOWN]


def test_what_did_not_fail_before_is_new():
    found = compared([item()], [item(of())], {CHECK})

    assert [each.outcome for each in found.items] == [Outcome.FAIL]
    assert found.items[0].findings[0].standing == "new"
    assert (found.new, found.known, found.fixed) == (1, 0, [])


def test_a_renamed_pod_on_a_replaced_node_is_still_known():
    before = [item(of("web-1"), node="old")]
    now = [item(of("web-2"), node="new")]

    found = compared(before, now, {CHECK})

    assert (found.items[0].outcome, found.new, found.fixed) == (Outcome.KNOWN, 0, [])


def test_one_more_under_a_key_is_new_and_it_is_the_one_that_was_not_there():
    before = [item(of("web-1"), node="w1"), item(node="w2")]
    now = [item(of("web-9"), node="w2"), item(of("web-1"), node="w1")]

    found = compared(before, now, {CHECK})

    assert [(each.node, each.outcome) for each in found.items] == [
        ("w2", Outcome.FAIL),
        ("w1", Outcome.KNOWN),
    ]


def test_an_item_with_new_and_known_findings_fails():
    found = compared([item(of("web-1"))], [item(of("web-1"), of("web-2"))], {CHECK})

    assert found.items[0].outcome is Outcome.FAIL
    assert [each.standing for each in found.items[0].findings] == ["known", "new"]


def test_what_was_not_checked_before_counts_as_new():
    before = [ItemResult(CHECK, Outcome.ERROR, node="w1", reason="w1 refused.", folded=True)]

    assert outcomes(before, [item(of())]) == [Outcome.FAIL]


def test_a_warning_that_became_a_failure_is_new():
    before = [item(of(level=Level.WARN))]

    assert outcomes(before, [item(of())]) == [Outcome.FAIL]


def test_a_failure_that_became_a_warning_is_not():
    assert outcomes([item(of())], [item(of(level=Level.WARN))]) == [Outcome.KNOWN]


def test_an_error_is_never_known():
    error = ItemResult(CHECK, Outcome.ERROR, node="w1", reason="the tool is missing")
    seen = replace(item(of()), reason="besides, one chain was not understood")

    assert outcomes([error], [error]) == [Outcome.ERROR]
    assert outcomes([item(of())], [seen]) == [Outcome.ERROR]


def test_a_waiver_stays_one():
    waived = replace(item(replace(of(), standing="waived")), outcome=Outcome.WAIVED, reason="ok")

    assert outcomes([item(of())], [waived]) == [Outcome.WAIVED]


def test_what_is_gone_is_fixed():
    found = compared([item(of())], [item()], {CHECK})

    assert [(past.check, past.node, past.why) for past in found.fixed] == [(CHECK, "w1", "")]
    assert found.unseen == []


def test_what_went_with_its_node_is_fixed_and_says_so():
    found = compared([item(of(), node="old")], [item(node="new")], {CHECK})

    assert [past.why for past in found.fixed] == ["Node old no longer exists."]


def test_what_could_not_be_checked_this_time_is_not_fixed():
    unseen = ItemResult(CHECK, Outcome.ERROR, node="w1", reason="w1 refused.", folded=True)
    undecided = replace(item(), undecided=["Pod shop/web-1"])

    for now, why in ((unseen, "w1 refused."), (undecided, "It changed during the run.")):
        found = compared([item(of())], [now], {CHECK})
        assert (found.fixed, [past.why for past in found.unseen]) == ([], [why])


def test_what_is_no_longer_evaluated_is_not_fixed():
    found = compared([item(of())], [item(check="dns.other")], {"dns.other"})

    assert [past.why for past in found.unseen] == [f"{CHECK} was not evaluated this time."]


def test_what_may_be_among_those_that_are_not_listed_is_not_fixed():
    further = replace(of(key="further"), object=Object("Node", "w1", part=FURTHER))

    found = compared([item(of())], [item(further)], {CHECK})

    assert (found.fixed, [each.why for each in found.unseen]) == (
        [],
        [f"{CHECK} now has more findings than are listed."],
    )
