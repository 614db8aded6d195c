"""Conditions of kube-proxy's own nftables rules: which packets and clients a step is for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dataplane.nftables.tables import DADDR, MARK, MARK_TESTS, SADDR, field, match
from wirecheck.addresses import number_of
from wirecheck.dataplane.nftables.conditions import Conditions
from wirecheck.dataplane.rules.chains import concerns
from wirecheck.dataplane.rules.steps import Jump, Packet, SourceTest, Step
from wirecheck.parse.nftables import NftSet

PROTOCOL = {"meta": {"key": "l4proto"}}
PORT = field("th", "dport")
SERVICE = [DADDR, PROTOCOL, PORT]
SETS = {
    "hosts": NftSet("hosts", elem=["10.96.0.20", "10.96.0.22"]),
    "few": NftSet("few", timeout=10800),
    "nobody": NftSet("nobody"),
    "services": NftSet("services", elem=[{"concat": ["10.96.0.20", "tcp", 80]}]),
    "allowed": NftSet(
        "allowed",
        elem=[
            {"concat": ["10.96.0.20", "tcp", 80, {"prefix": {"addr": "192.0.2.0", "len": 24}}]},
            {"concat": ["10.96.0.20", 6, 80, "198.51.100.7"]},
            {"concat": ["10.96.0.21", "udp", 53, {"range": ["192.0.2.4", "192.0.2.5"]}]},
        ],
    ),
}
CHAIN = (Jump("service-web"),)


def steps(*matches: dict[str, Any]) -> list[Step]:
    """The steps of a rule with these conditions."""
    conditions = Conditions(SETS)
    for each in matches:
        conditions.add(each["match"])
    return list(conditions.steps("rule", CHAIN))


def only(*matches: dict[str, Any]) -> Step:
    (step,) = steps(*matches)
    return step


def packet(
    address: str = "10.96.0.20", protocol: str = "tcp", port: int = 80, *, is_local: bool = False
) -> Packet:
    family = 6 if ":" in address else 4
    return Packet(family, address, number_of(address), protocol, port, is_local)


def met(step: Step, *addresses: str) -> list[str]:
    """Those of the destinations that the step is for, whoever the client is."""
    assert step.sources == ()
    return [each for each in addresses if concerns(packet(each), step)]


def is_unrecognised(step: Step) -> bool:
    return any(each.kind == "other" for each in step.sources)


FOUR = ("10.96.0.19", "10.96.0.20", "10.96.0.21", "10.96.0.22")


@pytest.mark.parametrize(
    ("right", "last_parts"),
    [
        ("10.96.0.20", [20]),
        ({"set": ["10.96.0.20"]}, [20]),
        ({"set": ["10.96.0.20", "10.96.0.22"]}, [20, 22]),
        ("@hosts", [20, 22]),
        ({"prefix": {"addr": "10.96.0.20", "len": 31}}, [20, 21]),
        ({"range": ["10.96.0.20", "10.96.0.21"]}, [20, 21]),
        ({"set": []}, []),
    ],
)
def test_a_destination_is_an_address_a_range_or_any_of_a_set(right: Any, last_parts: list[int]):
    wanted = [f"10.96.0.{each}" for each in last_parts]

    assert met(only(match(DADDR, right)), *FOUR) == wanted
    others = [each for each in FOUR if each not in wanted]
    assert met(only(match(DADDR, right, "!=")), *FOUR) == others


def test_a_single_destination_is_the_steps_host():
    ipv6 = field("ip6", "daddr")
    hosts = {
        only(each).host
        for each in (
            match(DADDR, "10.96.0.20"),
            match(DADDR, {"set": ["10.96.0.20"]}),
            match(ipv6, "fd00:0::20"),
        )
    }
    assert hosts == {"10.96.0.20", "fd00::20"}
    assert only(match(DADDR, "10.96.0.20", "!=")).host == ""
    assert only(match(DADDR, "@hosts")).host == ""
    assert met(only(match(ipv6, {"prefix": {"addr": "fd00::", "len": 64}})), "fd00::9") == [
        "fd00::9"
    ]


def test_a_protocol_is_one_any_of_several_or_none_of_them():
    conditions = {
        "tcp": match(PROTOCOL, "tcp"),
        "by number": match(PROTOCOL, 17),
        "not udp": match(PROTOCOL, "udp", "!="),
        "two": match(PROTOCOL, {"set": ["tcp", 132]}),
        "neither": match(PROTOCOL, {"set": ["tcp", "udp"]}, "!="),
    }
    found = {
        name: [each for each in ("tcp", "udp", "sctp") if concerns(packet(protocol=each), step)]
        for name, condition in conditions.items()
        if not is_unrecognised(step := only(condition))
    }
    assert found == {
        "tcp": ["tcp"],
        "by number": ["udp"],
        "not udp": ["tcp", "sctp"],
        "two": ["tcp", "sctp"],
        "neither": ["sctp"],
    }
    assert only(conditions["tcp"]).protocol == "tcp"
    assert only(conditions["two"]).protocol == ""


def test_a_port_is_one_number_of_its_protocol():
    tcp, any_protocol = only(match(field("tcp", "dport"), 80)), only(match(PORT, 80))

    assert (tcp.protocol, tcp.port) == ("tcp", 80)
    assert (any_protocol.protocol, any_protocol.port) == ("", 80)
    assert is_unrecognised(only(match(PORT, 80, "!=")))
    assert is_unrecognised(only(match(PORT, {"set": [80, 81]})))


@pytest.mark.parametrize(
    ("key", "value", "op", "wanted"),
    [
        ("state", "new", "in", (True, True, False)),
        ("state", ["new", "established"], "in", (True, True, True)),
        ("state", ["established", "related"], "in", (False, False, True)),
        ("state", "established", "!=", (True, True, False)),
        ("state", "new", "!=", (False, False, True)),
        ("state", "invalid", "in", (False, False, False)),
        ("status", "dnat", "in", (False, True, True)),
        ("status", ["dnat"], "in", (False, True, True)),
        ("status", "dnat", "!=", (True, False, False)),
    ],
)
def test_a_state_is_that_of_new_translated_or_later_packets(
    key: str, value: Any, op: str, wanted: tuple[bool, bool, bool]
):
    step = only(match({"ct": {"key": key}}, value, op))

    assert (not step.never, step.first, step.later) == wanted


def test_two_states_both_have_to_match():
    new, known = (match({"ct": {"key": "state"}}, each, "in") for each in ("new", "established"))
    step = only(new, known)
    assert (step.never, step.first, step.later) == (True, False, False)
    assert only(known, new) == step


def test_addresses_of_the_node_are_destinations_or_sources():
    to_node = {"fib": {"result": "type", "flags": ["daddr"]}}
    from_node = {"fib": {"result": "type", "flags": ["saddr"]}}
    for op, is_local in (("==", True), ("!=", False)):
        step = only(match(to_node, "local", op))
        assert concerns(packet(is_local=is_local), step)
        assert not concerns(packet(is_local=not is_local), step)
        negated = op == "!="
        source = only(match(from_node, "local", op)).sources
        assert source == (SourceTest("local", "", negated=negated),)


@pytest.mark.parametrize(
    "condition",
    [
        match({"fib": {"result": "type", "flags": ["daddr"]}}, "broadcast"),
        match({"fib": {"result": "oif", "flags": ["daddr"]}}, "local"),
        match({"fib": {"result": "type", "flags": ["saddr", "iif"]}}, "local"),
        match({"&": [{"ct": {"key": "mark"}}, 1]}, 1),
        match({"ct": {"key": "status"}}, "snat", "in"),
        match({"ct": {"key": "zone"}}, "dnat"),
        match({"meta": {"key": "skuid"}}, 0),
        match(field("ip", "ttl"), 1),
        match(SADDR, "@few", "!="),
        match(SADDR, "@unknown"),
        match(DADDR, "10.96.0.20", ">"),
        match({"meta": {"key": "iifname"}}, {"set": ["eth0", "eth1"]}),
        match({"meta": {"key": "iifname"}}, "@devices"),
        match({"concat": [DADDR, SADDR, PORT]}, "@services"),
        match({"concat": [*SERVICE, SADDR]}, "@allowed", "!="),
        match({"concat": [DADDR, PORT, SADDR]}, "@allowed"),
        {"match": {"left": DADDR}},
    ],
)
def test_other_conditions_are_kept_as_text(condition: dict[str, Any]):
    assert is_unrecognised(only(condition))


def test_sources_are_ranges_and_a_set_without_elements_matches_nobody():
    right = {"set": ["192.0.2.7", {"range": ["192.0.2.8", "192.0.2.10"]}]}
    for op in ("==", "!="):
        (test,) = only(match(SADDR, right, op)).sources
        wanted = "192.0.2.7/32,192.0.2.8/31,192.0.2.10/32"
        assert test == SourceTest("network", wanted, negated=op == "!=")
    nobody, anybody = (only(match(SADDR, "@nobody", op)) for op in ("==", "!="))
    assert (nobody.never, nobody.first, nobody.later, nobody.sources) == (True, False, False, ())
    assert (anybody.never, anybody.first, anybody.later, anybody.sources) == (False, True, True, ())
    (ipv6,) = only(match(field("ip6", "saddr"), "fd00:0::7")).sources
    assert ipv6.value == "fd00::7/128"


def test_clients_in_a_set_that_rules_fill_are_recalled():
    step = only(match(SADDR, "@few"))

    assert step.recalls == ("few", 10800)
    assert step.sources == ()


@pytest.mark.parametrize(("condition", "wanted"), MARK_TESTS)
def test_marks_are_compared_in_full_or_by_a_mask(condition, wanted):
    assert only(condition).marks == (wanted,)


def test_only_a_step_without_a_mark_is_for_one_source_address():
    own = match(SADDR, "10.244.1.2")

    assert only(own).own == "10.244.1.2"
    assert only(own, match(MARK, 1)).own == ""


def test_devices_are_names_or_beginnings_of_names():
    tests = {
        (key, name): only(match({"meta": {"key": key}}, name)).sources[0]
        for key, name in (("iifname", "cni*"), ("iif", "eth0"), ("oifname", "eth0"), ("oif", "e*"))
    }
    assert {each: (test.kind, test.value) for each, test in tests.items()} == {
        ("iifname", "cni*"): ("interface", "cni+"),
        ("iif", "eth0"): ("interface", "eth0"),
        ("oifname", "eth0"): ("output", "eth0"),
        ("oif", "e*"): ("output", "e+"),
    }


def test_a_service_in_a_set_is_its_address_protocol_and_port():
    services = match({"concat": SERVICE}, "@services")
    others = match({"concat": SERVICE}, "@services", "!=")
    near = [
        packet(),
        packet("10.96.0.21"),
        packet(protocol="udp"),
        packet(port=81),
    ]
    assert [concerns(each, only(services)) for each in near] == [True, False, False, False]
    assert [concerns(each, only(others)) for each in near] == [False, True, True, True]


def test_a_set_of_services_with_sources_makes_a_step_for_each_service():
    found = steps(match({"concat": [*SERVICE, SADDR]}, "@allowed"))

    assert [(each.host, each.protocol, each.port) for each in found] == [
        ("10.96.0.20", "tcp", 80),
        ("10.96.0.21", "udp", 53),
    ]
    assert [each.sources for each in found] == [
        (SourceTest("network", "192.0.2.0/24,198.51.100.7/32", negated=False),),
        (SourceTest("network", "192.0.2.4/31", negated=False),),
    ]


@pytest.mark.parametrize(
    "before", [match(DADDR, "10.96.0.20"), match(PROTOCOL, "tcp"), match(PORT, 80)]
)
def test_such_a_set_behind_another_condition_on_the_destination_is_not_followed(
    before: dict[str, Any],
):
    assert is_unrecognised(only(before, match({"concat": [*SERVICE, SADDR]}, "@allowed")))
