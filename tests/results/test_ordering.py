import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.report import sample
from wirecheck.catalogue.findings import Outcome
from wirecheck.report.node_map import MOST_ROWS, node_map
from wirecheck.results.ordering import (
    REACHABLE,
    by_check,
    causes_of,
    first_findings,
    most_each,
    tone,
    unchecked_nodes,
    without_unchecked,
)
from wirecheck.results.records import ItemResult


def test_every_item_is_in_exactly_one_place():
    results = sample.broken()
    checks = by_check(results)
    assert sum(len(check.items) + len(check.folded) for check in checks) == len(results.items)
    assert [check.record.id for check in checks] == [identity for identity, _ in sample.CHECKS]


def test_groups_stay_together_wherever_their_checks_come():
    results = sample.healthy(2)
    checks = sorted(results.started.checks, key=lambda check: check.scope == "cluster")
    started = replace(results.started, checks=checks)
    (band,) = node_map(by_check(replace(results, started=started))).calm
    groups = [name for name, _ in band.groups]
    assert len(groups) == len(set(groups))


def test_a_check_that_the_run_does_not_explain_is_kept():
    results = sample.healthy(2)
    item = ItemResult("new.check", Outcome.FAIL, node="n")
    last = by_check(replace(results, items=[*results.items, item]))[-1]
    assert (last.record.id, last.outcome) == ("new.check", Outcome.FAIL)


def test_unseen_nodes_come_with_their_reason():
    unseen = {each.nodes: each for each in unchecked_nodes(sample.broken())}
    assert set(unseen) == {("w7",), ("w9",), ("w12",)}
    assert unseen["w7",].reason == sample.REFUSED
    assert unseen["w12",].outcome is Outcome.SKIP
    assert unseen["w7",].checks == len(sample.CHECKS) - 2


def test_a_failure_of_reachable_is_not_an_unchecked_node():
    results = sample.broken()
    failed = ItemResult(REACHABLE, Outcome.FAIL, node="w1")
    checks = without_unchecked(by_check(replace(results, items=[*results.items, failed])))
    assert checks[0].outcome is Outcome.FAIL
    assert not checks[0].having(Outcome.ERROR, Outcome.SKIP)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (sample.broken(), Outcome.FAIL),
        (sample.healthy(2), Outcome.PASS),
        (sample.nothing(), Outcome.ERROR),
        (sample.empty(), Outcome.ERROR),
    ],
)
def test_tone(results, expected):
    assert tone(results) is expected


@pytest.mark.parametrize("changes", [{"interrupted": True}, {"status": 2}, {"status": 3}])
def test_an_unfinished_run_has_no_green_tone(changes):
    healthy = sample.healthy(2)
    assert tone(replace(healthy, ended=replace(healthy.ended, **changes))) is Outcome.ERROR


def test_a_cluster_without_nodes_has_no_green_tone():
    healthy = sample.healthy(2)
    coverage = replace(healthy.ended.coverage, nodes_seen=0, nodes_known=0)
    assert tone(replace(healthy, ended=replace(healthy.ended, coverage=coverage))) is Outcome.ERROR


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 300))
def test_shares_are_as_large_as_the_total_allows(sizes, total):
    each = most_each(sizes, total)
    given_out = sum(min(size, each) for size in sizes)
    assert given_out <= total or each == 1
    if sizes and max(sizes) > each:
        assert sum(min(size, each + 1) for size in sizes) > total


def test_a_check_is_attributed_to_causes_only_if_all_its_findings_follow_from_some():
    def item(check: str, node: str, outcome: Outcome = Outcome.FAIL) -> ItemResult:
        findings = [] if outcome is Outcome.PASS else [_finding(0)]
        return ItemResult(check, outcome, node, findings=findings)

    symptom, cause = "dns.replicas_answer", "routes.reach_every_node"
    found = [item(symptom, "w1"), item(symptom, "w2"), item(symptom, "w3", Outcome.PASS)]
    results = replace(sample.healthy(3), items=[*found, item(cause, "w1"), item(cause, "w2")])
    (check,) = [each for each in by_check(results) if each.record.id == symptom]
    both = {(symptom, "w1"): (cause, "w1"), (symptom, "w2"): (cause, "w2")}

    assert causes_of(check, both) == [cause]
    assert causes_of(check, {(symptom, "w1"): (cause, "w1")}) == []
    assert causes_of(check, {}) == []


def test_a_check_without_findings_has_no_cause():
    (check, *_) = by_check(sample.healthy(2))
    assert causes_of(check, {}) == []


def test_one_item_with_many_findings_leaves_room_for_the_others():
    many = ItemResult("a.b", Outcome.FAIL, node="n1", findings=[_finding(n) for n in range(100)])
    few = ItemResult("a.b", Outcome.FAIL, node="n2", findings=[_finding(0)])
    assert [len(some) for _, some in first_findings([many, few], 20)] == [19, 1]


def _finding(number: int):
    return sample.finding("Pod", f"shop/web-{number}", "an address", "nothing")


def test_nodes_that_are_alike_share_a_row():
    (band,) = node_map(by_check(sample.broken())).loud
    assert [row.nodes for row in band.rows] == [
        ("w2",),
        ("w5",),
        ("w7", "w9"),
        ("w4",),
        ("w6",),
        ("w1",),
        ("w3",),
        ("w10", "w11", "w8"),
        ("w12",),
    ]
    (calm,) = node_map(by_check(sample.healthy())).calm
    assert [len(row.nodes) for row in calm.rows] == [240]


def test_the_rows_of_the_map_cover_every_node_once():
    bands = node_map(by_check(sample.large())).loud
    for band in bands:
        names = [node for row in band.rows for node in row.nodes]
        assert len(names) == len(set(names)) == 1000
        assert len(band.rows) <= MOST_ROWS + 2
    assert any(row.is_rest and Outcome.FAIL in row.pattern for b in bands for row in b.rows)


def test_checks_about_the_cluster_have_their_own_row():
    found = next(
        band
        for band in node_map(by_check(sample.broken())).calm
        if "pods.addresses_are_unique" in [column.check.record.id for column in band.columns]
    )
    place = [column.check.record.id for column in found.columns].index("pods.addresses_are_unique")
    assert found.cluster[place] is Outcome.PASS
    assert all(row.pattern[place] is None for row in found.rows)
    assert sum(width for _, width in found.groups) == len(found.columns)
