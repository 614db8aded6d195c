"""Conditions of third-party nftables rules: which packets and clients their steps are for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dataplane.nftables.tables import ACCEPT, DADDR, MARK_TESTS, SADDR, field, match, rule_of
from wirecheck.addresses import number_of
from wirecheck.dataplane.nftables.third_party import PacketTranslator
from wirecheck.dataplane.rules.chains import concerns
from wirecheck.dataplane.rules.steps import Opaque, Packet, SourceTest, Step
from wirecheck.parse.nftables import NftSet

PROTOCOL, NFPROTO = {"meta": {"key": "l4proto"}}, {"meta": {"key": "nfproto"}}
CT_MARK = {"ct": {"key": "mark"}}
DPORT, FLAGS = field("tcp", "dport"), field("tcp", "flags")
IIF = {"meta": {"key": "iifname"}}
SETS = {
    "few": NftSet("few", timeout=9),
    "ports": NftSet("ports", elem=[80, {"range": [90, 92]}]),
    "largest": NftSet("largest", elem=[f"10.0.{n // 256}.{n % 256}" for n in range(2_000)]),
    "larger": NftSet("larger", elem=[f"10.0.{n // 256}.{n % 256}" for n in range(2_001)]),
}


def steps(*conditions: dict[str, Any], family: int = 4) -> list[Step]:
    """The steps of a rule that accepts what matches all conditions."""
    return PacketTranslator(family, "ip admin", SETS).steps([rule_of(*conditions, ACCEPT)])


def only(*conditions: dict[str, Any], family: int = 4) -> Step:
    (step,) = steps(*conditions, family=family)
    return step


def packet(
    address: str = "10.96.0.20", protocol: str = "tcp", port: int = 80, *, is_local: bool = False
) -> Packet:
    family = 6 if ":" in address else 4
    return Packet(family, address, number_of(address), protocol, port, is_local)


def state(step: Step) -> tuple[bool, bool, bool | None]:
    """Whether the step can match first packets, the same after DNAT, and later ones."""
    return not step.never, step.first, step.later


ANY_FIRST, ANY_LATER, NONE = (True, True, None), (False, False, None), (False, False, False)


def is_known(step: Step) -> bool:
    is_opaque = any(isinstance(each, Opaque) for each in step.actions)
    return not is_opaque and all(each.kind != "other" for each in step.sources)


@pytest.mark.parametrize(
    ("right", "last_parts"),
    [
        ("10.96.0.20", [20]),
        ({"set": ["10.96.0.20"]}, [20]),
        ({"set": {"prefix": {"addr": "10.96.0.20", "len": 31}}}, [20, 21]),
        ({"set": ["10.96.0.20", {"elem": {"val": "10.96.0.22", "comment": "x"}}]}, [20, 22]),
        ({"range": ["10.96.0.20", "10.96.0.21"]}, [20, 21]),
        ({"set": []}, []),
    ],
)
def test_a_destination_is_an_address_a_range_or_any_of_a_set(right: Any, last_parts: list[int]):
    every = [f"10.96.0.{each}" for each in (19, 20, 21, 22, 23)]
    wanted = [f"10.96.0.{each}" for each in last_parts]
    same, other = only(match(DADDR, right)), only(match(DADDR, right, "!="))

    assert [each for each in every if concerns(packet(each), same)] == wanted
    assert [each for each in every if not concerns(packet(each), other)] == wanted
    assert same.host == ("10.96.0.20" if last_parts == [20] else "")
    assert other.host == ""


def test_of_two_destinations_both_have_to_match():
    same, another = (match(DADDR, f"10.96.0.{each}") for each in (20, 21))

    assert concerns(packet(), only(same, same))
    assert not concerns(packet(), only(same, another))
    assert not concerns(packet(), only(another, same))


def test_a_port_is_one_a_range_or_any_of_a_set():
    conditions = {
        "one": match(DPORT, 80),
        "of a set": match(DPORT, {"set": [80]}),
        "not one": match(DPORT, 80, "!="),
        "range": match(DPORT, {"range": [80, 82]}),
        "named": match(DPORT, "@ports"),
        "not named": match(DPORT, "@ports", "!="),
    }
    ports = (79, 80, 81, 82, 83, 90, 92)
    found = {
        name: [each for each in ports if concerns(packet(port=each), only(condition))]
        for name, condition in conditions.items()
    }
    assert found == {
        "one": [80],
        "of a set": [80],
        "not one": [79, 81, 82, 83, 90, 92],
        "range": [80, 81, 82],
        "named": [80, 90, 92],
        "not named": [79, 81, 82, 83],
    }
    assert {name: only(each).port for name, each in conditions.items() if only(each).port} == {
        "one": 80,
        "of a set": 80,
    }
    assert not concerns(packet(), only(conditions["one"], match(DPORT, 81)))
    assert concerns(packet(), only(conditions["one"], conditions["range"]))


def test_a_protocol_is_one_any_of_several_or_none_of_them():
    conditions = {
        "tcp": match(PROTOCOL, "tcp"),
        "by number": match(PROTOCOL, 17),
        "in the header": match(field("ip", "protocol"), "udp"),
        "not udp": match(PROTOCOL, "udp", "!="),
        "two": match(PROTOCOL, {"set": ["tcp", 132]}),
        "neither": match(PROTOCOL, {"set": ["tcp", "udp"]}, "!="),
        "of the port": match(field("udp", "dport"), 80),
        "any with the port": match(field("th", "dport"), 80),
    }
    found = {
        name: [e for e in ("tcp", "udp", "sctp") if concerns(packet(protocol=e), only(condition))]
        for name, condition in conditions.items()
    }
    assert found == {
        "tcp": ["tcp"],
        "by number": ["udp"],
        "in the header": ["udp"],
        "not udp": ["tcp", "sctp"],
        "two": ["tcp", "sctp"],
        "neither": ["sctp"],
        "of the port": ["udp"],
        "any with the port": ["tcp", "udp", "sctp"],
    }


def test_a_rule_for_two_protocols_matches_nothing_and_one_named_twice_is_no_contradiction():
    tcp, udp = match(PROTOCOL, "tcp"), match(field("udp", "dport"), 80)

    assert state(only(tcp, udp)) == NONE
    assert state(only(tcp, match(DPORT, 80))) == (True, True, True)


def test_rules_for_one_family_match_nothing_of_the_other():
    conditions = {
        "address": (match(DADDR, "10.96.0.20"), [4]),
        "IPv6 address": (match(field("ip6", "daddr"), "fd00::20"), [6]),
        "nfproto": (match(NFPROTO, "ipv4"), [4]),
        "not": (match(NFPROTO, "ipv4", "!="), [6]),
        "either": (match(NFPROTO, {"set": ["ipv4", "ipv6"]}), [4, 6]),
        "neither": (match(NFPROTO, {"set": ["ipv4", "ipv6"]}, "!="), []),
        "ether": (match(field("ether", "type"), "ip6"), [6]),
        "protocol": (match({"meta": {"key": "protocol"}}, "ip"), [4]),
        "ARP": (match({"meta": {"key": "protocol"}}, "arp"), []),
    }
    found = {
        name: [family for family in (4, 6) if not only(condition, family=family).never]
        for name, (condition, _) in conditions.items()
    }
    assert found == {name: families for name, (_, families) in conditions.items()}
    assert only(conditions["IPv6 address"][0], family=6).host == "fd00::20"


ALL_FLAGS = ["fin", "syn", "rst", "ack"]


@pytest.mark.parametrize(
    ("left", "right", "op", "wanted"),
    [
        (FLAGS, "syn", "==", ANY_FIRST),
        (FLAGS, ["syn", "ack"], "in", ANY_FIRST),
        (FLAGS, "rst", "==", ANY_LATER),
        (FLAGS, "rst", "!=", ANY_FIRST),
        (FLAGS, "syn", "!=", ANY_LATER),
        ({"&": [FLAGS, ALL_FLAGS]}, "syn", "==", ANY_FIRST),
        ({"&": [FLAGS, "syn"]}, "syn", "==", ANY_FIRST),
        ({"&": [FLAGS, ALL_FLAGS]}, ["syn", "ack"], "==", ANY_LATER),
        ({"&": [FLAGS, ALL_FLAGS]}, "ack", "==", ANY_LATER),
        ({"&": [FLAGS, "ack"]}, "syn", "==", ANY_LATER),
        ({"&": [FLAGS, ALL_FLAGS]}, "syn", "!=", ANY_LATER),
        ({"&": [FLAGS, ALL_FLAGS]}, ["syn", "ack"], "!=", ANY_FIRST),
        ({"meta": {"key": "pkttype"}}, "host", "==", ANY_FIRST),
        ({"meta": {"key": "pkttype"}}, "unicast", "==", ANY_FIRST),
        ({"meta": {"key": "pkttype"}}, "broadcast", "==", ANY_LATER),
        ({"meta": {"key": "pkttype"}}, {"set": ["broadcast", "multicast"]}, "!=", ANY_FIRST),
        ({"ct": {"key": "status"}}, "assured", "in", ANY_LATER),
        ({"ct": {"key": "status"}}, "assured", "!=", ANY_FIRST),
        ({"ct": {"key": "status"}}, "dnat", "in", (False, True, True)),
        ({"ct": {"key": "direction"}}, "original", "==", ANY_FIRST),
        ({"ct": {"key": "direction"}}, "reply", "==", ANY_LATER),
        ({"ct": {"key": "direction"}}, "reply", "!=", ANY_FIRST),
        (CT_MARK, 0, "==", ANY_FIRST),
        (CT_MARK, 1, "==", ANY_LATER),
        (CT_MARK, 1, "!=", ANY_FIRST),
        ({"&": [CT_MARK, 0xFF]}, 0, "==", ANY_FIRST),
        ({"&": [CT_MARK, 0xFF]}, 1, "==", ANY_LATER),
        ({"&": [CT_MARK, 0xFF]}, 1, "!=", ANY_FIRST),
        ({"ct": {"key": "state"}}, {"set": ["established", "related"]}, "in", (False, False, True)),
        ({"ct": {"key": "state"}}, ["new", "untracked"], "in", (True, True, False)),
    ],
)
def test_a_connection_that_begins_has_one_flag_and_no_mark(
    left: dict[str, Any], right: Any, op: str, wanted: tuple[bool, bool, bool | None]
):
    step = only(match(left, right, op))

    assert state(step) == wanted
    assert is_known(step)


def test_flags_are_about_tcp():
    steps_of_flags = [only(match(left, "syn")) for left in (FLAGS, {"&": [FLAGS, ALL_FLAGS]})]

    assert {each.protocol for each in steps_of_flags} == {"tcp"}


@pytest.mark.parametrize(("condition", "wanted"), MARK_TESTS)
def test_marks_are_compared_in_full_or_by_a_mask(condition, wanted):
    assert only(condition).marks == (wanted,)


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        (match(SADDR, "192.0.2.7"), SourceTest("network", "192.0.2.7/32", negated=False)),
        (match(SADDR, "192.0.2.7", "!="), SourceTest("network", "192.0.2.7/32", negated=True)),
        (match(SADDR, "@few"), SourceTest("set", "ip saddr @few", negated=False)),
        (match(SADDR, "@larger", "!="), SourceTest("set", "ip saddr @larger", negated=True)),
        (match(SADDR, "@missing"), SourceTest("set", "ip saddr @missing", negated=False)),
        (
            match({"fib": {"result": "type", "flags": "saddr"}}, "local"),
            SourceTest("local", "", negated=False),
        ),
        (
            match({"fib": {"result": "type", "flags": ["saddr"]}}, "local", "!="),
            SourceTest("local", "", negated=True),
        ),
        (
            match({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, 0),
            SourceTest("packet", "the reverse path", negated=False),
        ),
        (match(field("ip", "ttl"), 1, "!="), SourceTest("packet", "ip ttl", negated=True)),
        (match(field("tcp", "sport"), 5353), SourceTest("packet", "tcp sport", negated=False)),
        (match(field("tcp", "sport"), "@gone"), SourceTest("packet", "tcp sport", negated=False)),
        (match(field("tcp", "sport"), "x", "!="), SourceTest("packet", "tcp sport", negated=True)),
        (match(field("tcp", "ackseq"), 1), SourceTest("packet", "tcp ackseq", negated=False)),
        (match(field("ip", "id"), 1), SourceTest("packet", "ip id", negated=False)),
        (match(field("icmp", "type"), "x"), SourceTest("packet", "icmp type x", negated=False)),
        (match(field("ether", "saddr"), "x"), SourceTest("packet", "ether saddr", negated=False)),
    ],
)
def test_what_not_all_packets_of_a_client_or_not_all_clients_match(
    condition: dict[str, Any], wanted: SourceTest
):
    assert only(condition).sources == (wanted,)


def test_clients_connect_from_unprivileged_ports():
    server, client = (only(match(field("tcp", "sport"), v)) for v in (53, {"range": [1024, 65535]}))
    others = only(match(field("tcp", "sport"), {"set": [53, 123]}, "!="))

    assert (server.never, server.sources) == (True, ())
    assert (client.never, client.sources) == (others.never, others.sources) == (False, ())


def test_a_source_of_an_empty_set_is_nobody():
    nobody, anybody = (only(match(SADDR, {"set": []}, op)) for op in ("==", "!="))

    assert (state(nobody), nobody.sources) == (NONE, ())
    assert (state(anybody), anybody.sources) == ((True, True, True), ())


def test_large_sets_are_followed_up_to_a_limit():
    (largest,) = only(match(SADDR, "@largest")).sources
    elements = [f"10.0.{n // 256}.{n % 256}" for n in range(2_001)]
    (in_rule,) = only(match(SADDR, {"set": elements[:-1]})).sources
    (too_many,) = only(match(SADDR, {"set": elements})).sources

    assert largest == in_rule
    assert largest.value.count(",") == 1_999
    assert too_many.kind == "set"


def test_destinations_by_type_are_the_nodes_or_others():
    kind = {"fib": {"result": "type", "flags": ["daddr"]}}
    conditions = {
        "local": match(kind, "local"),
        "unicast": match(kind, "unicast"),
        "either": match(kind, {"set": ["local", "unicast"]}),
        "broadcast": match(kind, "broadcast"),
        "not local": match(kind, "local", "!="),
    }
    found = {
        name: [each for each in (True, False) if concerns(packet(is_local=each), only(condition))]
        for name, condition in conditions.items()
    }
    assert found == {
        "local": [True],
        "unicast": [False],
        "either": [True, False],
        "broadcast": [],
        "not local": [False],
    }


def test_each_device_of_a_set_is_a_step_and_all_of_a_negated_one_are_excluded():
    devices = {"set": ["eth0", "cni*"]}

    assert [each.sources for each in steps(match(IIF, devices))] == [
        (SourceTest("interface", "eth0", negated=False),),
        (SourceTest("interface", "cni+", negated=False),),
    ]
    assert only(match(IIF, devices, "!=")).sources == (
        SourceTest("interface", "eth0", negated=True),
        SourceTest("interface", "cni+", negated=True),
    )


def test_a_concatenation_is_a_step_for_each_element_and_a_star_matches_everything():
    key = {"concat": [IIF, DPORT]}
    right = {"set": [{"concat": ["eth0", 80]}, {"concat": ["*", 81]}]}

    assert [(each.sources, each.port) for each in steps(match(key, right))] == [
        ((SourceTest("interface", "eth0", negated=False),), 80),
        ((), 81),
    ]
    assert not is_known(only(match(key, right, "!=")))
    assert not is_known(only(match(key, {"set": [{"concat": ["eth0"]}]})))


def test_too_many_devices_or_unknown_ones_are_an_unrecognised_condition():
    devices = [f"eth{each}" for each in range(513)]

    assert len(steps(match(IIF, {"set": devices[:-1]}))) == 512
    conditions = [match(IIF, each, op) for each in ("@missing", "@larger") for op in ("==", "!=")]
    for condition in (match(IIF, {"set": devices}), *conditions):
        assert not is_known(only(condition))


@pytest.mark.parametrize(
    "condition",
    [
        match({"meta": {"key": "skuid"}}, {"range": [0, 9]}),
        match({"&": [{"meta": {"key": "priority"}}, 1]}, 1),
        match({"ct": {"key": "zone"}}, 1),
        match({"fib": {"result": "type", "flags": ["daddr", "iif"]}}, "local"),
        match({"fib": {"result": "type", "flags": ["saddr"]}}, "broadcast"),
        match(DADDR, "@missing"),
        match({"rt": {"key": "mtu"}}, 1),
    ],
)
def test_other_conditions_are_kept_as_text(condition: dict[str, Any]):
    assert not is_known(only(condition))


@pytest.mark.parametrize(
    ("right", "operator", "is_nodes"),
    [
        (0, "==", True),
        ("root", "==", True),
        ({"set": [0, 110]}, "==", True),
        (110, "!=", True),
        (110, "==", False),
        ("debian-tor", "==", False),
        ("root", "!=", False),
    ],
)
def test_the_nodes_own_programs_run_as_root(right: Any, operator: str, is_nodes: bool):
    """A packet without a socket, which the node forwards, matches neither way."""
    step = only(match({"meta": {"key": "skuid"}}, right, operator))

    assert step.never is not is_nodes
    assert step.sources == ((SourceTest("local", "", negated=False),) if is_nodes else ())
