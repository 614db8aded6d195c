"""How kube-router reads policies, case by case: with each of its flaws, and without it."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.enforcer_referee.reading import EVERY_FLAW, Flaw, Range, Reading, Subject

A = Subject("10.244.0.2", "one", (("app", "a"),), (("http", "TCP", 80), ("db", "TCP", 81)), True)
B = Subject("10.244.0.3", "one", (("app", "b"),), (("http", "TCP", 80),), is_local=True)
C = Subject("10.244.1.2", "two", (("app", "c"),), (("http", "TCP", 8080),))
OUTSIDE = Subject("192.0.2.130")
PODS = (A, B, C)
ALL = ("", 1, 65535)
NAMESPACES = {"one": {"team": "r"}, "two": {"team": "s"}}
HTTP, DB = {"port": "http", "protocol": "TCP"}, {"port": "db", "protocol": "TCP"}


def policy(types: tuple[str, ...], app: str = "", **rules: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": app}} if app else {}
    spec = {"podSelector": selector, "policyTypes": list(types), **rules}
    return {"metadata": {"name": "p", "namespace": "one"}, "spec": spec}


def read(
    policies: dict[str, Any], source: Subject, target: Subject, flaws: frozenset[Flaw] = EVERY_FLAW
) -> list[list[Range]]:
    return Reading(NAMESPACES, PODS, [policies], flaws).ranges(source, target)


def pods(app: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {"app": app}}}


CASES = {
    Flaw.DIRECTIONS: (
        policy(("Ingress", "Egress"), ingress=[{"from": [pods("a")]}], egress=[]),
        (A, B), [[ALL], [ALL]], [[], [ALL]],
    ),
    Flaw.NO_SUCH_NAME: (
        policy(("Ingress",), "b", ingress=[{"from": [pods("a")], "ports": [DB]}]),
        (A, B), [[ALL], [ALL]], [[ALL], []],
    ),
    Flaw.ANY_TARGET: (
        policy(("Egress",), "a", egress=[{"ports": [HTTP]}]),
        (A, C), [[("TCP", 80, 80)]], [[("TCP", 8080, 8080)]],
    ),
    Flaw.SHARED_NAMES: (
        policy(("Ingress",), ingress=[{"ports": [DB]}]),
        (C, B), [[("TCP", 81, 81)]], [[]],
    ),
    Flaw.EXCEPTIONS: (
        policy(("Egress",), "a", egress=[{"to": [
            {"ipBlock": {"cidr": "192.0.2.0/24"}},
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["192.0.2.128/25"]}},
        ]}]),
        (A, OUTSIDE), [[]], [[ALL]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("flaw", CASES)
def test_a_flaw_and_what_the_api_says(flaw: Flaw) -> None:
    rules, ends, with_it, without = CASES[flaw]

    assert read(rules, *ends) == with_it
    assert read(rules, *ends, flaws=EVERY_FLAW - {flaw}) == without


def test_every_flaw_has_a_case() -> None:
    assert {*CASES} == {*Flaw}


def test_a_pod_that_no_policy_isolates_is_open() -> None:
    assert read(policy(("Ingress",), "b", ingress=[]), A, C) == [[ALL]]
    assert read(policy(("Ingress",), "b", ingress=[]), A, B) == [[ALL], []]


def test_selectors_of_namespaces_and_ranges_of_ports() -> None:
    peer = {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}}
    ports = [{"port": 80, "endPort": 90, "protocol": "UDP"}, {"protocol": "SCTP"}]
    rules = policy(("Ingress",), "b", ingress=[{"from": [peer], "ports": ports}])

    assert read(rules, C, B) == [[("UDP", 80, 90), ("SCTP", 1, 65535)]]
    assert read(rules, OUTSIDE, B) == [[]]
