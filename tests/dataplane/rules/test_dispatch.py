"""Chains that send the packets of each pod to rules of its own, by the pod's device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.dispatch import empty_chains, named_devices, unknown_device
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket
from wirecheck.dataplane.rules.ruleset import Stage
from wirecheck.dataplane.rules.steps import IN, OUT, Action, End, Jump, SourceTest, Step
from wirecheck.dataplane.table import Verdict

Rules = Mapping[str, Sequence[Step]]
DROP, ACCEPT = End(Verdict.DROP), End(Verdict.NOTHING)
SOME = SourceTest("set", "some", negated=False)


def by(device: str, kind: str = IN, *, negated: bool = False) -> SourceTest:
    return SourceTest(kind, device, negated)


def rule(text: str, *actions: Action, **conditions: Any) -> Step:
    return Step(text, actions, **conditions)


def chains(rules: Rules) -> Chains[Sequence[Step]]:
    return Chains("filter", rules, list)


def refusal(rules: Rules, iif: str = "cali9", kind: str = IN) -> str | None:
    """The rule that refuses a pod's packet because no rule names its device."""
    packet = ForwardedPacket(
        ip_address("10.244.1.2"), ip_address("10.244.2.3"), iif=iif, oif="eth0", port=80
    )
    return unknown_device(chains(rules), "FORWARD", packet, kind)


KNOWN = rule("-i cali1 -g POD-1", Jump("POD-1", goto=True), sources=(by("cali1"),))
REST = rule("-j DROP", DROP)
DISPATCH: Rules = {
    "FORWARD": [rule("-i cali+ -j FROM-PODS", Jump("FROM-PODS"), sources=(by("cali+"),))],
    "FROM-PODS": [KNOWN, REST],
    "POD-1": [rule("accepts", ACCEPT)],
}


def with_chain(*steps: Step) -> Rules:
    return {**DISPATCH, "FROM-PODS": steps}


def test_the_last_rule_refuses_a_device_that_no_rule_names():
    assert refusal(DISPATCH) == "-j DROP"
    assert refusal(with_chain(REST)) == "-j DROP"
    assert refusal(with_chain(KNOWN, rule("-j REJECT", End(Verdict.REJECT)))) == "-j REJECT"


def test_a_device_that_a_rule_names_is_known():
    assert refusal(DISPATCH, "cali1") is None
    refuses = {**DISPATCH, "POD-1": [rule("first", sources=(SOME,)), REST]}
    assert refusal(refuses, "cali1") is None
    named = rule("-i cali9", sources=(by("cali9"),))
    assert refusal(with_chain(named, KNOWN, REST)) is None


def test_packets_that_may_pass_are_not_refused_for_certain():
    accepts_some = rule("some", ACCEPT, sources=(SOME,))
    drops_some = rule("some", DROP, sources=(SOME,))

    assert refusal(with_chain(accepts_some, KNOWN, REST)) is None
    assert refusal(with_chain(KNOWN, drops_some)) is None
    assert refusal(with_chain(KNOWN)) is None
    assert refusal(with_chain(KNOWN, rule("accepts", ACCEPT))) is None
    assert refusal(with_chain(KNOWN, rule("unknown", Jump("MISSING")))) is None
    assert refusal({}) is None


def test_a_refusal_in_the_base_chain_or_for_some_packets_is_the_firewalls():
    in_base = {"FORWARD": [KNOWN, REST], "POD-1": [rule("accepts", ACCEPT)]}
    assert refusal(in_base) is None
    for_some: list[dict[str, Any]] = [
        {"protocol": "tcp"},
        {"host": "10.244.2.3"},
        {"port": 80},
        {"tests": (lambda _: True,)},
        {"sources": (by("cali+"),)},
    ]
    assert [refusal(with_chain(KNOWN, rule("drop", DROP, **each))) for each in for_some] == [
        None
    ] * len(for_some)


def test_a_chain_with_other_rules_and_none_for_devices_is_a_policy():
    policy = rule("-p udp", ACCEPT, protocol="udp")

    assert refusal(with_chain(policy, REST)) is None
    assert refusal(with_chain(policy, KNOWN, REST)) == "-j DROP"


def test_the_device_of_the_other_direction_does_not_count():
    leaving = rule("-o cali1", sources=(by("cali1", OUT),))

    assert refusal(with_chain(leaving, REST)) is None
    assert refusal(with_chain(leaving, REST), kind=OUT) == "-j DROP"
    assert refusal(with_chain(rule("-o eth0", sources=(by("eth0", OUT),)), REST), kind=OUT) is None


def stage(rules: Rules) -> Stage:
    return Stage("FORWARD", chains(rules))


def test_devices_are_collected_by_direction():
    found = named_devices(stage(with_chain(KNOWN, rule("-o eth0", sources=(by("eth0", OUT),)))))

    assert found == {IN: frozenset({"cali+", "cali1"}), OUT: frozenset({"eth0"})}
    assert named_devices(stage({})) == {IN: frozenset(), OUT: frozenset()}


def test_devices_whose_packets_go_to_a_chain_without_rules():
    for_others = rule("! -i cali2", Jump("POD-2"), sources=(by("cali2", negated=True),))
    leaving = rule("-o cali3", Jump("POD-2"), sources=(by("cali3", OUT),))
    for_all = rule("all", Jump("POD-2"))
    missing = rule("-i cali4", Jump("MISSING"), sources=(by("cali4"),))
    empty = rule("-i cali5", Jump("POD-2"), sources=(by("cali5"),))
    ends = rule("-i cali6", DROP, sources=(by("cali6"),))
    rules = with_chain(KNOWN, for_others, leaving, for_all, missing, empty, ends)

    found = stage({**rules, "POD-2": []})

    assert list(empty_chains(found, IN)) == [("cali5", "POD-2")]
    assert list(empty_chains(found, OUT)) == [("cali3", "POD-2")]
