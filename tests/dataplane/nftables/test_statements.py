"""Statements of third-party nftables rules, as actions of steps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dataplane.nftables.tables import ACCEPT, DADDR, DROP, SADDR, field, match, rule_of
from wirecheck.dataplane.nftables.conditions import FULL
from wirecheck.dataplane.nftables.third_party import PacketTranslator
from wirecheck.dataplane.rules.steps import (
    Action,
    Dnat,
    End,
    Jump,
    Opaque,
    Return,
    SetMark,
    Source,
    SourceTest,
    Step,
)
from wirecheck.dataplane.table import Verdict

DPORT = field("tcp", "dport")
MARK, CT_MARK = {"meta": {"key": "mark"}}, {"ct": {"key": "mark"}}
ACCEPTED = End(Verdict.NOTHING)


def steps(*expressions: dict[str, Any], family: int = 4) -> list[Step]:
    return PacketTranslator(family, "ip admin", {}).steps([rule_of(*expressions)])


def actions(*expressions: dict[str, Any], family: int = 4) -> tuple[Action, ...]:
    (step,) = steps(*expressions, family=family)
    return step.actions


def is_opaque(found: tuple[Action, ...]) -> bool:
    return any(isinstance(each, Opaque) for each in found)


def mapped(key: dict[str, Any], *elements: list[Any], **more: Any) -> dict[str, Any]:
    return {"dnat": {"addr": {"map": {"key": key, "data": {"set": list(elements)}}}, **more}}


def verdicts(key: dict[str, Any], *elements: list[Any]) -> dict[str, Any]:
    return {"vmap": {"key": key, "data": {"set": list(elements)}}}


@pytest.mark.parametrize(
    ("statement", "action"),
    [
        (ACCEPT, ACCEPTED),
        (DROP, End(Verdict.DROP)),
        ({"reject": {"type": "tcp reset"}}, End(Verdict.REJECT)),
        ({"notrack": None}, End(Verdict.UNTRACKED)),
        ({"return": None}, Return()),
        ({"jump": {"target": "x"}}, Jump("x")),
        ({"goto": {"target": "x"}}, Jump("x", goto=True)),
        ({"masquerade": None}, Source()),
        ({"snat": {"addr": "192.0.2.1"}}, Source()),
        ({"dnat": {"addr": "10.244.0.3", "port": 8080}}, Dnat("10.244.0.3", 8080)),
        ({"dnat": {"addr": "10.244.0.3"}}, Dnat("10.244.0.3", 0)),
        ({"dnat": {"port": 8080}}, Dnat("", 8080)),
        ({"mangle": {"key": MARK, "value": 1}}, SetMark(FULL, 1)),
        ({"mangle": {"key": MARK, "value": {"|": [MARK, 0x4000]}}}, SetMark(0x4000, 0x4000)),
        ({"mangle": {"key": MARK, "value": {"^": [MARK, 0x4000]}}}, SetMark(0, 0x4000)),
        ({"mangle": {"key": MARK, "value": {"&": [MARK, 0xFF]}}}, SetMark(FULL & ~0xFF, 0)),
        (
            {"mangle": {"key": MARK, "value": {"|": [{"&": [MARK, 0xFFEF]}, 0x80]}}},
            SetMark(FULL & ~0xFFEF | 0x80, 0x80),
        ),
        (
            {"mangle": {"key": MARK, "value": {"^": [{"|": [MARK, 0x3]}, 0x1]}}},
            SetMark(0x3, 0x2),
        ),
    ],
)
def test_statements_are_actions(statement: dict[str, Any], action: Action):
    assert actions(statement) == (action,)
    assert actions({"counter": None}, statement) == (action,)


@pytest.mark.parametrize(
    "statement",
    [
        {"log": {"prefix": "x"}},
        {"xt": {"type": "match", "name": "comment"}},
        {"xt": {"type": "target", "name": "TCPMSS"}},
        {"set": {"op": "add", "elem": SADDR, "set": "@seen"}},
        {"mangle": {"key": field("ip", "dscp"), "value": 1}},
        {"mangle": {"key": {"meta": {"key": "priority"}}, "value": 1}},
    ],
)
def test_after_a_statement_without_effect_the_next_one_counts(statement: dict[str, Any]):
    assert actions(statement, DROP) == (End(Verdict.DROP),)


@pytest.mark.parametrize(
    "statement",
    [
        {"queue": {"num": 1}},
        {"xt": {"type": "target", "name": "NETMAP"}},
        {"xt": None},
        {"dnat": {"addr": {"range": ["10.0.0.1", "10.0.0.2"]}}},
        {"mangle": {"key": DADDR, "value": "10.244.0.3"}},
        {"mangle": {"key": MARK, "value": {"|": [CT_MARK, 1]}}},
        {"jump": {}},
        verdicts(DPORT, [80, {"unknown": None}]),
        {"vmap": {"key": DPORT, "data": "@missing"}},
    ],
)
def test_what_a_statement_does_may_be_unknown(statement: dict[str, Any]):
    assert is_opaque(actions(statement))


def test_a_condition_that_is_not_followed_counts_as_one_on_the_client():
    for condition in (
        {"limit": {"rate": 1, "per": "second"}},
        {"xt": {"type": "match", "name": "string"}},
        {"set": {"op": "add", "elem": {"elem": {"val": SADDR, "limit": {"rate": 1}}}, "set": "@x"}},
        {"set": {"op": "add", "elem": SADDR, "set": "@x", "stmt": [{"limit": {"rate": 1}}]}},
    ):
        (step,) = steps(condition, DROP)
        assert [each.kind for each in step.sources] == ["other"]
        assert step.actions == (End(Verdict.DROP),)
        assert is_opaque(actions({"mangle": {"key": MARK, "value": 1}}, condition))


def test_a_statement_for_the_other_family_matches_nothing():
    statement = {"dnat": {"addr": "fd00::3", "family": "ip6"}}

    (of_4,), (of_6,) = steps(statement), steps(statement, family=6)

    assert of_4.never
    assert of_4.actions == ()
    assert not of_6.never
    assert of_6.actions == (Dnat("fd00::3", 0),)
    assert actions({"dnat": {"addr": "10.0.0.3", "family": "ip"}}) == (Dnat("10.0.0.3", 0),)


def test_only_taking_over_the_connections_mark_restores_it():
    def restores(*expressions: dict[str, Any]) -> list[bool]:
        return [each.restores_mark for each in steps(*expressions)]

    taken = {"mangle": {"key": MARK, "value": CT_MARK}}
    assert restores(taken) == [True]
    assert restores(match(DPORT, 80), taken) == [True]
    assert restores({"mangle": {"key": CT_MARK, "value": MARK}}) == [False]
    assert restores({"mangle": {"key": MARK, "value": 1}}) == [False]
    assert restores(match(DPORT, 80), DROP) == [False]


def test_a_map_of_verdicts_is_a_step_for_each_element_that_has_an_effect():
    found = steps(
        match(DADDR, "10.96.0.20"),
        verdicts(DPORT, [80, DROP], [81, {"continue": None}], [82, {"jump": {"target": "x"}}]),
    )
    assert [(each.host, each.port, each.actions) for each in found] == [
        ("10.96.0.20", 80, (End(Verdict.DROP),)),
        ("10.96.0.20", 82, (Jump("x"),)),
    ]


def test_a_map_of_destinations_may_have_ports_of_its_own():
    found = steps(
        mapped(DPORT, [80, {"concat": ["10.244.0.3", 8080]}], [81, "10.244.0.4"]),
    )
    assert [(each.port, each.actions) for each in found] == [
        (80, (Dnat("10.244.0.3", 8080),)),
        (81, (Dnat("10.244.0.4", 0),)),
    ]
    (with_port,) = steps(mapped(DPORT, [81, "10.244.0.4"], port=9090))
    assert with_port.actions == (Dnat("10.244.0.4", 9090),)


def test_a_map_behind_a_statement_is_unknown():
    mark = {"mangle": {"key": MARK, "value": 1}}

    assert is_opaque(actions(mark, verdicts(DPORT, [80, DROP])))
    assert is_opaque(actions(mark, mapped(DPORT, [80, "10.244.0.3"])))


@pytest.mark.parametrize(("number", "is_followed"), [(512, True), (513, False)])
def test_a_map_with_too_many_elements_is_unknown(number: int, is_followed: bool):
    found = steps(verdicts(DPORT, *([port, DROP] for port in range(1, number + 1))))

    assert len(found) == (number if is_followed else 1)
    assert is_opaque(found[-1].actions) is not is_followed


@pytest.mark.parametrize(("devices", "is_followed"), [(16, True), (17, False)])
def test_a_rule_with_too_many_distinctions_is_unknown(devices: int, is_followed: bool):
    names = [f"eth{each}" for each in range(devices)]
    each_way = [match({"meta": {"key": key}}, {"set": names}) for key in ("iifname", "oifname")]
    further = match({"meta": {"key": "iif"}}, {"set": ["a", "b"]})

    found = steps(*each_way, further, DROP)

    assert is_opaque(found[0].actions) is not is_followed
    assert len(found) == (512 if is_followed else 1)


def test_a_statement_of_an_unknown_form_is_unknown():
    assert is_opaque(actions({"jump": "x"}))
    assert is_opaque(actions({"a": 1, "b": 2}))
    assert [each.kind for each in steps({"match": {"op": "=="}}, DROP)[0].sources] == ["other"]


def test_a_condition_behind_a_statement_is_unknown():
    mark = {"mangle": {"key": MARK, "value": 1}}

    assert is_opaque(actions(mark, match(DPORT, 80), DROP))


def test_conditions_and_statements_keep_their_order():
    mark = {"mangle": {"key": MARK, "value": 1}}
    (step,) = steps(match(SADDR, "192.0.2.7"), mark, ACCEPT)

    assert step.actions == (SetMark(FULL, 1), ACCEPTED)
    assert step.sources == (SourceTest("network", "192.0.2.7/32", negated=False),)
