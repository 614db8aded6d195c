"""What one check finds in one round: counted, inconclusive, or open because an object changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.findings import (
    CONCLUSIVE,
    Conclusive,
    FactMissingError,
    Finding,
    NotApplicable,
    Ref,
    SharedCauseError,
)
from wirecheck.catalogue.registry import Check
from wirecheck.catalogue.settling import Evidence
from wirecheck.evaluation.evidence import UNKNOWN, RoundEvidence
from wirecheck.evaluation.round_result import RoundResult, round_result
from wirecheck.snapshot.api_objects import Change

WEB, SERVICE = Ref("Pod", "web", "shop"), Ref("Service", "kube-dns", "kube-system")


def finding(subject: Ref = WEB, **fields: Any) -> Finding:
    return Finding(subject, **{"expected": "a", "found": "b", **fields})


def result(
    *found: Finding | Conclusive | Exception,
    changes: tuple[Change, ...] = (),
    group: str = "pods",
    settles: bool = True,
    evidence: tuple[Evidence, ...] = (Evidence.OBJECTS,),
) -> RoundResult:
    def function(_subject: object) -> Iterator[Finding | Conclusive]:
        for each in found:
            if isinstance(each, Exception):
                raise each
            yield each

    check = Check(f"{group}.x", "s", "w", "r", "node", settles, (), function, evidence=evidence)
    small = SmallCluster(changes=list(changes))
    node = small.node
    return round_result(check, node, 3, RoundEvidence(small.cluster))


def names(found: dict[Any, Finding]) -> list[str]:
    return [each.subject.name for each in found.values()]


def test_findings_and_decided_objects_are_counted() -> None:
    found = result(CONCLUSIVE, finding(), CONCLUSIVE, finding(SERVICE))

    assert (found.number, found.conclusive) == (3, 2)
    assert names(found.findings) == ["web", "kube-dns"]
    assert not found.undecided
    assert not found.unjudged


def test_inconclusive_objects_are_counted_by_reason() -> None:
    found = result(
        finding(inconclusive="a policy"),
        finding(SERVICE, inconclusive="a policy"),
        finding(key="x", inconclusive="another"),
        finding(),
    )

    assert found.unjudged == {"a policy": 2, "another": 1}
    assert names(found.findings) == ["web"]


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (NotApplicable("no pod"), ("no pod", "", False)),
        (FactMissingError("unread"), ("", "unread", False)),
        (SharedCauseError("no tool"), ("", "no tool", True)),
    ],
)
def test_findings_before_the_end_are_kept(error: Exception, fields: tuple[str, str, bool]) -> None:
    found = result(finding(), error)

    assert names(found.findings) == ["web"]
    assert (found.skip, found.error, found.is_shared) == fields


def test_an_unforeseen_error_names_the_check() -> None:
    assert result(ValueError("odd")).error.startswith(
        "pods.x could not be evaluated: ValueError: odd."
    )


def changed(what: str, kind: str = "Pod") -> Change:
    known = {"Pod": ("web", "shop"), "Service": ("kube-dns", "kube-system"), "Node": ("n1", "")}
    return Change(kind, *known[kind], what=what)


def is_open(
    *changes: Change, subject: Ref = WEB, concerns: tuple[Ref, ...] = (), **fields: Any
) -> bool:
    """Whether the finding is open because an object changed during the round."""
    found = result(finding(subject, concerns=concerns), changes=changes, **fields)
    assert len(found.findings) + len(found.undecided) == 1
    return bool(found.undecided)


SET_UP = (Evidence.SET_UP,)


@pytest.mark.parametrize(
    ("what", "group", "evidence", "expected"),
    [
        ("podIPs", "pods", (Evidence.OBJECTS,), True),
        # A change that has no name is of an unknown kind.
        ("", "pods", (Evidence.OBJECTS,), True),
        ("other labels", "pods", (Evidence.OBJECTS,), False),
        ("labels", "pods", (Evidence.OBJECTS,), False),
        ("labels", "services", (Evidence.OBJECTS,), True),
        ("labels", "services", SET_UP, True),
        ("annotations", "pods", (Evidence.OBJECTS,), False),
        ("annotations", "firewall", (Evidence.OBJECTS,), True),
        ("unschedulable", "pods", (Evidence.OBJECTS,), False),
        ("unschedulable", "dns", (Evidence.OBJECTS,), True),
        ("ready", "pods", (Evidence.OBJECTS,), True),
        ("ready", "pods", SET_UP, False),
        ("ready", "services", SET_UP, False),
        ("ready, podIPs", "pods", SET_UP, True),
        ("labels, podIPs", "pods", SET_UP, True),
        ("labels, ready", "pods", SET_UP, False),
    ],
)
def test_a_change_counts_if_the_check_reads_the_field(
    what: str, group: str, evidence: tuple[Evidence, ...], expected: bool
) -> None:
    assert is_open(changed(what), group=group, evidence=evidence) is expected


def test_annotations_of_other_objects_than_pods_count() -> None:
    assert is_open(changed("annotations", "Service"), subject=SERVICE)
    assert not is_open(changed("labels", "Service"), subject=SERVICE)


def test_a_change_of_what_the_finding_depends_on_counts() -> None:
    assert is_open(changed("podIPs"), subject=SERVICE, concerns=(WEB,))
    assert not is_open(changed("podIPs"), subject=SERVICE)
    assert not is_open()


def test_a_check_that_does_not_settle_counts_whatever_changed() -> None:
    assert not is_open(changed("podIPs"), settles=False)
    found = result(finding(), settles=False)
    assert (found.ages, found.revisited) == ({}, {})


def test_the_age_of_each_finding_is_known() -> None:
    found = result(finding(), evidence=())

    assert found.age(finding().identity) is UNKNOWN
    assert found.ages.keys() == found.revisited.keys() == {finding().identity}


@pytest.mark.parametrize("place", ["findings", "undecided"])
def test_a_round_has_a_finding_whether_or_not_its_object_changed(place: str) -> None:
    known = result()
    found = RoundResult(known.names, 1, known.record, **{place: {finding().identity: finding()}})

    assert found.has(finding().identity)
    assert not found.has(finding(SERVICE).identity)
    assert not known.has(finding().identity)
