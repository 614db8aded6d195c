"""Statements of kube-proxy's own nftables rules, as actions of steps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dataplane.nftables.tables import ACCEPT, DADDR, DROP, SADDR, field, match, rule_of
from wirecheck.dataplane.nftables.conditions import FULL
from wirecheck.dataplane.nftables.rules import PASS, Translator
from wirecheck.dataplane.rules.steps import (
    Action,
    Choose,
    Dnat,
    End,
    Jump,
    Lookup,
    Opaque,
    Packet,
    Remember,
    Return,
    SetMark,
    Source,
)
from wirecheck.dataplane.table import Frontend, Verdict
from wirecheck.parse.nftables import NftSet

PROTOCOL, MARK = {"meta": {"key": "l4proto"}}, {"meta": {"key": "mark"}}
PORT = field("th", "dport")
WEB = Packet(4, "10.96.0.20", 0x0A600014, "tcp", 80, is_local=False)


def actions(*expressions: dict[str, Any], sets: dict[str, NftSet] | None = None) -> tuple:
    (step,) = Translator(4, sets or {}).steps([rule_of(*expressions)])
    return step.actions


def vmap(parts: list[dict[str, Any]], *elements: list[Any]) -> dict[str, Any]:
    key = parts[0] if len(parts) == 1 else {"concat": parts}
    return {"vmap": {"key": key, "data": {"set": list(elements)}}}


def numgen(number: int, **more: Any) -> dict[str, Any]:
    return {"numgen": {"mode": "random", "mod": number, **more}}


@pytest.mark.parametrize(
    ("statement", "action"),
    [
        (ACCEPT, End(Verdict.NOTHING)),
        (DROP, End(Verdict.DROP)),
        ({"reject": None}, End(Verdict.REJECT)),
        ({"return": None}, Return()),
        ({"jump": {"target": "x"}}, Jump("x")),
        ({"goto": {"target": "x"}}, Jump("x", goto=True)),
        ({"masquerade": {"flags": "fully-random"}}, Source()),
        ({"dnat": {"addr": "10.244.1.2", "port": 8080}}, Dnat("10.244.1.2", 8080)),
        ({"dnat": {"addr": "fd00:0::2"}}, Dnat("fd00::2", 0)),
        ({"mangle": {"key": MARK, "value": {"|": [MARK, 0x4000]}}}, SetMark(0x4000, 0x4000)),
        ({"mangle": {"key": MARK, "value": 7}}, SetMark(FULL, 7)),
        ({"set": {"op": "update", "elem": SADDR, "set": "@few"}}, Remember("few")),
        ({"set": {"op": "add", "elem": SADDR, "set": "@few"}}, Remember("few")),
    ],
)
def test_statements_are_actions(statement: dict[str, Any], action: Action):
    assert actions(statement) == (action,)
    assert actions({"counter": None}, statement) == (action,)


def test_the_verdict_for_a_service_is_found_by_its_key():
    statement = vmap(
        [DADDR, PROTOCOL, PORT],
        [{"concat": ["10.96.0.20", "tcp", 80]}, {"goto": {"target": "web"}}],
        [{"concat": ["10.96.0.21", 17, 53]}, DROP],
        [{"concat": ["10.96.0.22", "tcp", 80]}, {"continue": None}],
    )
    (lookup,) = actions(statement)

    assert isinstance(lookup, Lookup)
    assert lookup.actions[lookup.key(WEB)] == Jump("web", goto=True)
    assert lookup.actions["10.96.0.21", "udp", 53] == End(Verdict.DROP)
    assert lookup.actions["10.96.0.22", "tcp", 80] == PASS
    assert lookup.members == (
        Frontend(4, "10.96.0.20", "tcp", 80),
        Frontend(4, "10.96.0.21", "udp", 53),
        Frontend(4, "10.96.0.22", "tcp", 80),
    )


def test_node_ports_are_frontends_without_an_address_and_other_keys_are_none():
    (by_port,) = actions(vmap([PROTOCOL, PORT], [{"concat": ["tcp", 30080]}, DROP]))
    (by_address,) = actions(vmap([DADDR], ["10.96.0.20", DROP]))

    assert by_port.members == (Frontend(4, "", "tcp", 30080),)
    assert by_address.members == ()
    assert by_address.actions[by_address.key(WEB)] == End(Verdict.DROP)


def test_a_random_number_chooses_among_as_many_as_it_has_values():
    jumps = [[each, {"goto": {"target": f"endpoint-{each}"}}] for each in range(3)]

    def choices(number: int, **more: Any) -> tuple[Action, ...]:
        (found,) = actions({"vmap": {"key": numgen(number, **more), "data": {"set": jumps}}})
        assert isinstance(found, Choose)
        return found.actions

    every = [Jump(f"endpoint-{each}", goto=True) for each in range(3)]
    assert choices(3) == tuple(every)
    assert choices(2) == tuple(every[:2])
    assert choices(4) == (*every, PASS)
    assert choices(2, offset=1) == tuple(every[1:])
    assert choices(2, offset=0) == tuple(every[:2])


def test_a_dnat_may_choose_its_backend_by_chance():
    data = {"set": [[at, {"concat": [f"10.244.1.{at}", 8080]}] for at in range(2)]}
    (found,) = actions({"dnat": {"addr": {"map": {"key": numgen(2), "data": data}}}})

    assert found.actions == (Dnat("10.244.1.0", 8080), Dnat("10.244.1.1", 8080))


@pytest.mark.parametrize(
    "statement",
    [
        {"queue": {"num": 1}},
        {"mangle": {"key": MARK, "value": {"+": [MARK, 1]}}},
        {"mangle": {"key": field("ip", "dscp"), "value": 1}},
        vmap([SADDR], ["10.244.1.2", DROP]),
        vmap([DADDR], ["10.96.0.20", DROP], ["10.96.0.20", ACCEPT]),
        vmap([DADDR], ["10.96.0.20", {"unknown": None}]),
        vmap([DADDR, PORT], ["10.96.0.20", DROP]),
        {"vmap": {"key": DADDR, "data": "@missing"}},
        {"vmap": {"key": numgen(0), "data": {"set": []}}},
        {"vmap": {"key": numgen(100_001), "data": {"set": []}}},
        {"vmap": {"key": {"numgen": {"mode": "inc", "mod": 2}}, "data": {"set": []}}},
        {"jump": {"target": 1}},
        {"jump": {}},
        {"set": {"op": "delete", "elem": SADDR, "set": "@few"}},
        {"set": {"op": "update", "elem": DADDR, "set": "@few"}},
    ],
)
def test_what_a_statement_does_may_be_unknown(statement: dict[str, Any]):
    (found,) = actions(statement)

    assert isinstance(found, Opaque)


def test_conditions_come_before_statements():
    translator = Translator(4, {})
    web = match(DADDR, "10.96.0.20")

    (step,) = translator.steps([rule_of(web, {"log": None}, DROP)])
    assert (step.host, step.actions) == ("10.96.0.20", (End(Verdict.DROP),))
    (late,) = translator.steps([rule_of(DROP, web)])
    assert late.host == ""
    assert isinstance(late.actions[1], Opaque)
    (limited,) = translator.steps([rule_of({"limit": {"rate": 1}}, DROP)])
    assert [each.kind for each in limited.sources] == ["other"]
