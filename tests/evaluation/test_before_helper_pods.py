"""What only the round before helper pods were created has: it counts, and is never lost."""

from __future__ import annotations

import pytest

from tests.evaluation.test_settling import (
    CART,
    IN_FLIGHT,
    OBJECTS,
    OLD_ENOUGH,
    WEB,
    YOUNG,
    at,
    check,
    finding,
)
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Level
from wirecheck.catalogue.registry import Check, load
from wirecheck.catalogue.settling import Evidence
from wirecheck.evaluation.before_helper_pods import (
    healed,
    is_read_before,
    unknown_before,
    unread_before,
)
from wirecheck.evaluation.evidence import Age
from wirecheck.evaluation.round_result import RoundResult
from wirecheck.results.records import FlakyRounds
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex, VisitRecord, VisitStatus

SEEN = VisitRecord(VisitStatus.SEEN)


def before(*findings: object, **fields: object) -> RoundResult:
    result = at(0, *findings, **fields)  # type: ignore[arg-type]
    result.number = 0
    return result


def names(check: Check, first: RoundResult, *rounds: RoundResult) -> list[str]:
    return [ref.name for ref, *_ in healed(check, first, rounds)]


def test_only_what_no_later_round_has_counts_as_healed() -> None:
    assert names(check(OBJECTS), before(WEB, CART), at(10, CART), at(20)) == ["web"]
    assert names(check(OBJECTS), before(WEB), at(10), at(20, undecided=(WEB,))) == []


def test_what_the_snapshot_proved_to_be_old_counts_as_without_helper_pods() -> None:
    (found,) = healed(check(OBJECTS), before(WEB, age=OLD_ENOUGH), [at(10)]).values()

    assert found.flaky is None
    assert found.is_proven


@pytest.mark.parametrize(
    ("evidence", "age"),
    [((OBJECTS,), YOUNG), ((), OLD_ENOUGH), ((OBJECTS, Evidence.REPEATED), OLD_ENOUGH)],
)
def test_what_is_not_proven_is_flaky(evidence: tuple[Evidence, ...], age: Age) -> None:
    (found,) = healed(check(*evidence), before(WEB, age=age), [at(10), at(20)]).values()

    assert found.flaky == FlakyRounds([0], [0, 2, 3], found.flaky.first, found.flaky.last)
    assert str(found.flaky).startswith("only before helper pods were created, from 1970-01-01T")


@pytest.mark.parametrize(
    "first",
    [
        before(WEB, age=IN_FLIGHT),
        before(undecided=(WEB,)),
        before(finding(level=Level.WARN)),
    ],
    ids=["in flight", "changed during the round", "a warning that nothing proves"],
)
def test_what_may_have_been_a_change_in_flight_does_not_count(first: RoundResult) -> None:
    assert names(check(OBJECTS), first, at(10)) == []


def test_a_check_that_does_not_settle_counts_its_only_round() -> None:
    warning = finding(level=Level.WARN)
    (found,) = healed(check(settles=False), before(warning), [at(10)]).values()

    assert found.flaky is None
    assert not found.is_proven


def test_another_measured_value_of_the_same_object_is_not_healed() -> None:
    first, later = before(finding(found="12 lost")), at(10, finding(found="13 lost"))

    assert names(check(settles=False), first, later) == []
    assert names(check(OBJECTS), first, later) == []


@pytest.mark.parametrize("fields", [{"error": "iptables-save timed out."}, {"skip": "no rules"}])
def test_where_later_rounds_could_not_tell_the_finding_counts_and_says_so(fields: object) -> None:
    first, later = before(WEB, age=OLD_ENOUGH), at(10, **fields)  # type: ignore[arg-type]
    (found,) = healed(check(OBJECTS), first, [later]).values()

    assert not found.is_gone


def test_what_could_not_be_evaluated_before_is_unknown() -> None:
    first = before(error="iptables-save timed out.")

    assert "iptables-save timed out." in unknown_before(first, [at(10)])
    # The check is an error anyway, or there is nothing to check.
    assert unknown_before(first, [at(10, error="it timed out again.")]) == ""
    assert unknown_before(first, [at(10, skip="there are no rules")]) == ""
    assert unknown_before(before(), [at(10)]) == ""


def test_checks_that_need_packets_are_not_compared() -> None:
    compared = {each.id for each in load() if is_read_before(each)}

    assert {"firewall.kubernetes_chains_called", "routes.no_blackholes"} <= compared
    assert not {"dns.pods_resolve_udp", "reachability.pod_to_pod"} & compared
    assert all(Fact.DNS not in each.facts for each in load() if each.id in compared)


def test_nodes_that_were_only_read_afterwards_are_named() -> None:
    refused = VisitRecord(VisitStatus.UNREACHABLE, reason="n2 refuses the connection.")
    first = RoundRecord(1.0, 2.0, {"n1": SEEN, "n2": refused, "n4": refused})
    later = RoundRecord(3.0, 4.0, {"n1": SEEN, "n2": SEEN, "n3": SEEN, "n4": refused})
    index = SnapshotIndex(format=1, wirecheck="0", time=1.0, before=first, looks=[later])

    of_n2, of_n3 = unread_before(index)
    assert of_n2.startswith("n2 could not be read before helper pods were created")
    assert of_n2.endswith("n2 refuses the connection.")
    assert of_n3.startswith("n3 ")
