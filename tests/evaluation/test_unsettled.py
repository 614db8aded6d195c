"""Which nodes are visited once more, and which need not be."""

from __future__ import annotations

import pytest

from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.catalogue.registry import load
from wirecheck.evaluation.unsettled import concerned
from wirecheck.results.records import FindingRecord, FlakyRounds, ItemResult, Object

LINK_DOWN = "links.up"
LOOKUP = "dns.pods_resolve_udp"
FORWARDING = "nodes.ip_forward"
"""A check that does not settle: what it finds in one round counts."""


def failing(
    check: str,
    pod: str = "web",
    *,
    node: str = "n1",
    proven: bool = False,
    level: Level = Level.FAIL,
    undecided: tuple[str, ...] = (),
) -> ItemResult:
    finding = FindingRecord(Object("Pod", pod, "shop"), level, "this", "that", check, proven=proven)
    outcome = Outcome.FAIL if level is Level.FAIL else Outcome.WARN
    return ItemResult(check, outcome, node, findings=[finding], undecided=list(undecided))


def nodes(*items: ItemResult) -> frozenset[str]:
    return concerned(items, load())


def test_a_finding_that_nothing_proves_is_looked_for_again():
    assert nodes(failing(LOOKUP)) == {"n1"}
    assert nodes(failing(LOOKUP), failing(LINK_DOWN, "api", node="n2")) == {"n1", "n2"}


def test_nothing_found_needs_no_further_round():
    assert nodes(ItemResult(LINK_DOWN, Outcome.PASS, "n1")) == frozenset()


def test_a_proven_finding_and_one_of_a_check_that_does_not_settle_count_at_once():
    assert nodes(failing(LINK_DOWN, proven=True)) == frozenset()
    assert nodes(failing(FORWARDING)) == frozenset()


def test_an_object_that_changed_is_looked_at_again():
    assert nodes(failing(LINK_DOWN, proven=True, undecided=("Pod shop/api",))) == {"n1"}


def test_what_follows_from_a_proven_cause_needs_no_further_round():
    assert nodes(failing(LINK_DOWN, proven=True), failing(LOOKUP)) == frozenset()


def test_what_follows_from_a_cause_that_counts_at_once_needs_none_either():
    assert nodes(failing(FORWARDING), failing(LOOKUP)) == frozenset()


@pytest.mark.parametrize(
    "cause",
    [
        failing(LINK_DOWN),
        failing(LINK_DOWN, "another", proven=True),
        failing(LINK_DOWN, node="n2", proven=True),
        failing(LINK_DOWN, proven=True, level=Level.WARN),
    ],
    ids=["unproven", "of another pod", "of another node", "milder than the symptom"],
)
def test_any_other_cause_does_not_spare_the_round(cause: ItemResult):
    assert "n1" in nodes(cause, failing(LOOKUP))


def test_a_cause_with_one_unproven_finding_does_not_spare_the_round():
    half = failing(LINK_DOWN, proven=True)
    half = ItemResult(
        LINK_DOWN,
        Outcome.FAIL,
        "n1",
        findings=[*half.findings, *failing(LINK_DOWN, "api").findings],
    )

    assert nodes(half, failing(LOOKUP)) == {"n1"}


def test_a_symptom_with_objects_that_changed_is_looked_at_again():
    symptom = failing(LOOKUP, undecided=("Pod shop/api",))

    assert nodes(failing(LINK_DOWN, proven=True), symptom) == {"n1"}


def record(kind: str, name: str, **fields) -> FindingRecord:
    return FindingRecord(Object(kind, name), Level.FAIL, "a", "b", "k", **fields)


FLAKY = FlakyRounds([1], [1, 2], "", "")
NEW = FlakyRounds([2], [1, 2], "", "")


@pytest.mark.parametrize(
    ("fields", "is_concerned"),
    [
        ({}, False),
        ({"findings": [record("Pod", "a")]}, True),
        ({"findings": [record("Pod", "a", proven=True)]}, False),
        ({"findings": [record("Pod", "a", proven=True), record("Pod", "b")]}, True),
        ({"findings": [record("Pod", "a", flaky=FLAKY)]}, False),
        ({"findings": [record("Pod", "a", flaky=NEW)]}, True),
        ({"findings": [record("Pod", "a", flaky=NEW), record("Pod", "b", flaky=FLAKY)]}, False),
        ({"findings": [record("Pod", "a", flaky=NEW), record("Pod", "b", proven=True)]}, False),
        ({"undecided": ["Pod shop/a"]}, True),
    ],
)
def test_a_node_is_checked_again_if_that_may_change_what_was_found(fields, is_concerned):
    for check in ("pods.ip_on_interface", "conntrack.table_usage"):
        found = concerned([ItemResult(check, Outcome.FAIL, node="n1", **fields)], load())

        settles = check == "pods.ip_on_interface"
        assert found == ({"n1"} if is_concerned and settles else frozenset())


def test_nodes_that_a_comparison_names_are_checked_again_too():
    def found(check: str, *findings: FindingRecord) -> frozenset[str]:
        return concerned([ItemResult(check, Outcome.FAIL, findings=list(findings))], load())

    some = [
        record("Node", "n1"),
        record("Node", "n2", proven=True),
        record("Node", "n3", flaky=FLAKY),
        record("Service", "web"),
    ]

    assert found("services.nodes_agree", *some) == {"", "n1"}
    assert found("pods.unique_ips", *some) == {""}
