"""nftables tables of other programs as stages of a connection's path."""

import json
from dataclasses import replace

import pytest

from tests.dataplane import recorded
from tests.dataplane.nftables.tables import (
    ACCEPT,
    DADDR,
    DROP,
    SADDR,
    at_priority,
    field,
    match,
    recorded_table,
    table_of,
)
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Difference, Kind
from wirecheck.dataplane.compare.summary import summarised
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.nftables.reader import read_nftables
from wirecheck.dataplane.nftables.tables import NamedTable
from wirecheck.dataplane.nftables.third_party import PacketTranslator
from wirecheck.dataplane.rules.chains import concerns
from wirecheck.dataplane.rules.steps import Opaque, Packet, SourceTest, Step
from wirecheck.dataplane.table import Client

VERSION = "1.35.4"
MODES = ("nftables", "iptables")
WANTED = {mode: recorded.expected(VERSION, mode) for mode in MODES}
PORT = min(
    each.port
    for each, entry in WANTED["nftables"].entries.items()
    if each.is_node_port and each.protocol == "tcp" and entry.handlings[Client.OUTSIDE].backends
)
CLUSTER_IP = min(
    each
    for each, entry in WANTED["nftables"].entries.items()
    if not each.is_node_port and each.protocol == "tcp" and entry.handlings[Client.POD].backends
)
DNAT_RULE = [
    match(field("tcp", "dport"), PORT),
    {"dnat": {"addr": "10.244.0.3", "port": 9999}},
]
TO_SERVICE = match(DADDR, CLUSTER_IP.address)


def found_with(mode: str, *tables: NamedTable) -> list[Difference]:
    """The differences of a node that has these tables as well."""
    clients = replace(recorded.clients(VERSION, mode), interfaces=frozenset({"eth0", "cni0"}))
    wanted = WANTED[mode]
    if mode == "nftables":
        texts = {4: recorded.nft(VERSION)}
        read = read_nftables(texts, clients, wanted.entries, tables=tables)
    else:
        texts = {4: recorded.iptables(VERSION)}
        read = read_iptables(texts, clients, wanted.entries, tables=tables)
    return list(summarised(wanted, compare(wanted, read)).single)


def kinds(found: list[Difference]) -> set[tuple[Kind, int]]:
    return {(each.kind, each.frontend.port) for each in found}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "name",
    ["firewalld", "firewalld-trusted", "crowdsec", "fail2ban", "flannel", "talos", "docker"],
)
def test_tables_that_take_no_connection_of_a_service_change_nothing(mode, name):
    assert found_with(mode, recorded_table(name)) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["docker", "netavark"])
@pytest.mark.parametrize(
    ("priority", "kind"), [(-110, Kind.SHADOWED), (-100, Kind.ORDER_UNKNOWN), (-90, None)]
)
def test_a_published_port_counts_in_the_order_of_priorities(mode, name, priority, kind):
    table = at_priority(recorded_table(name, port_30080=str(PORT)), "prerouting", priority)

    found = found_with(mode, at_priority(table, "output", priority))

    assert kinds(found) == ({(kind, PORT)} if kind else set())
    assert all(f"nftables table {table.label}: " in each.evidence[-1] for each in found)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "rule",
    [
        DNAT_RULE,
        [match(field("tcp", "dport"), {"set": [PORT, {"range": [9, 10]}]}), DNAT_RULE[1]],
        [match({"meta": {"key": "l4proto"}}, "tcp"), match(field("th", "dport"), PORT), DROP],
        [
            {
                "dnat": {
                    "addr": {
                        "map": {
                            "key": field("tcp", "dport"),
                            "data": {
                                "set": [[PORT, {"concat": ["10.244.0.3", 9999]}], [9, "10.244.0.3"]]
                            },
                        }
                    }
                }
            }
        ],
        [{"vmap": {"key": field("tcp", "dport"), "data": {"set": [[PORT, {"drop": None}]]}}}],
        [
            match(
                {
                    "concat": [
                        {"fib": {"result": "type", "flags": ["daddr"]}},
                        field("tcp", "dport"),
                    ]
                },
                {"set": [{"concat": ["local", PORT]}]},
            ),
            {"reject": None},
        ],
    ],
)
def test_forms_of_a_rule_that_takes_a_node_port(mode, rule):
    kind = "nat" if "dnat" in json.dumps(rule) else "filter"

    assert kinds(found_with(mode, table_of(rule, type=kind))) == {(Kind.SHADOWED, PORT)}


@pytest.mark.parametrize("of", ["ip", "inet"])
def test_a_table_for_both_families_counts_as_well(of):
    assert kinds(found_with("nftables", table_of([TO_SERVICE, DROP], of=of))) == {
        (Kind.SHADOWED, CLUSTER_IP.port)
    }


def test_a_table_for_ipv6_does_not_count():
    assert found_with("nftables", table_of(DNAT_RULE, of="ip6", type="nat")) == []


@pytest.mark.parametrize(
    "rules",
    [
        [[TO_SERVICE, ACCEPT], [TO_SERVICE, DROP]],
        [[match({"ct": {"key": "state"}}, ["established", "related"], "in"), DROP]],
        [[match(field("ip6", "daddr"), "fd00::1"), DROP]],
        [[match({"meta": {"key": "nfproto"}}, "ipv6"), DROP]],
        [[match({"meta": {"key": "iifname"}}, {"set": ["docker0", "virbr0"]}), DROP]],
        [[match({"ct": {"key": "mark"}}, 1), DROP]],
        [[match({"meta": {"key": "mark"}}, 1), DROP]],
        [[match(field("icmp", "type"), "echo-request"), DROP]],
        [[{"return": None}], [TO_SERVICE, DROP]],
        [
            [{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["new", ACCEPT]]}}}],
            [TO_SERVICE, DROP],
        ],
    ],
)
def test_rules_that_no_connection_of_a_service_gets_to(rules):
    assert found_with("nftables", table_of(*rules)) == []


def test_a_mark_from_another_chain_of_the_table_counts():
    mark = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}
    rules = [[TO_SERVICE, mark], [match({"meta": {"key": "mark"}}, 1), DROP]]

    assert kinds(found_with("nftables", table_of(*rules))) == {(Kind.SHADOWED, CLUSTER_IP.port)}


@pytest.mark.parametrize(
    "condition",
    [
        match(SADDR, {"set": ["198.51.100.7", {"prefix": {"addr": "203.0.113.0", "len": 24}}]}),
        match(SADDR, "@few"),
        match(SADDR, "@unknown"),
    ],
)
@pytest.mark.parametrize("priority", [-150, -100])
def test_a_ban_is_no_fault_of_a_service_whatever_the_order(condition, priority):
    assert found_with("nftables", table_of([condition, DROP], priority=priority)) == []


def test_a_drop_of_the_same_priority_depends_on_the_order_if_it_names_the_service():
    assert kinds(found_with("nftables", table_of([TO_SERVICE, DROP], priority=-100))) == {
        (Kind.ORDER_UNKNOWN, CLUSTER_IP.port)
    }


@pytest.mark.parametrize(
    "statement",
    [
        {"tproxy": {"addr": "127.0.0.1", "port": 5353}},
        {"queue": {"num": 1}},
        {"redirect": {"port": {"range": [9, 12]}}},
        {"xt": {"type": "target", "name": "NETMAP"}},
        {"xt": None},
        {"dnat": {"addr": {"range": ["10.0.0.1", "10.0.0.2"]}}},
        {"mangle": {"key": DADDR, "value": "10.244.0.3"}},
    ],
)
def test_a_statement_that_is_not_recognised_is_inconclusive_where_it_matters(statement):
    found = found_with("nftables", table_of([TO_SERVICE, statement]))

    assert kinds(found) == {(Kind.RULE_UNKNOWN, CLUSTER_IP.port)}
    assert all("nftables table ip admin" in each.evidence[-1] for each in found)


@pytest.mark.parametrize(
    "condition",
    [
        match({"socket": {"key": "transparent"}}, 1),
        {"limit": {"rate": 10, "per": "second"}},
        {"xt": {"type": "match", "name": "string"}},
    ],
)
def test_a_condition_that_is_not_recognised_is_inconclusive_where_it_matters(condition):
    rule = [TO_SERVICE, condition, DNAT_RULE[1]]

    assert kinds(found_with("nftables", table_of(rule, type="nat"))) == {
        (Kind.RULE_UNKNOWN, CLUSTER_IP.port)
    }


@pytest.mark.parametrize(
    "statement",
    [
        {"log": {"prefix": "x"}},
        {"counter": {"packets": 1, "bytes": 2}},
        {"set": {"op": "update", "elem": SADDR, "set": "@few"}},
        {"mangle": {"key": field("ip", "ttl"), "value": 3}},
        {"mangle": {"key": {"meta": {"key": "priority"}}, "value": 3}},
        {"mangle": {"key": {"ct": {"key": "mark"}}, "value": {"meta": {"key": "mark"}}}},
        {"xt": {"type": "target", "name": "TCPMSS"}},
        {"notrack": None},
    ],
)
def test_statements_without_effect_on_the_destination(statement):
    rule = (
        [statement] if "notrack" not in statement else [match(field("tcp", "dport"), 9), statement]
    )

    assert found_with("nftables", table_of(rule)) == []


def test_a_policy_that_drops_what_is_not_accepted():
    some = [[match(SADDR, {"prefix": {"addr": "10.0.0.0", "len": 8}}), ACCEPT]]
    node = str(recorded.clients(VERSION).node_addresses[4])
    own = [[match(SADDR, {"prefix": {"addr": node, "len": 16}}), ACCEPT]]

    assert found_with("iptables", table_of(*some, *own, policy="drop")) == []
    kinds_found = {each.kind for each in found_with("iptables", table_of(policy="drop"))}
    assert kinds_found == {Kind.SHADOWED}


def steps_of(name: str, family: int = 4) -> dict[str, list[Step]]:
    """The steps of the recorded rules by their text."""
    found = recorded_table(name)
    translator = PacketTranslator(family, found.label, found.table.sets)
    rules = found.table.rules["pre"]
    return {steps[0].text: steps for rule in rules if (steps := translator.steps([rule]))}


def test_every_recorded_expression_is_read_or_unknown():
    by_rule = steps_of("expressions")
    unknown = {
        text.removeprefix("chain pre: ").partition(" ")[0]
        for text, steps in by_rule.items()
        for step in steps
        if any(each.kind == "other" for each in step.sources)
        or any(isinstance(each, Opaque) for each in step.actions)
    }
    assert len(by_rule) > 50
    assert unknown == {
        *('{"limit":', "add", '{"meter":', '{"socket":'),  # Rates and sockets.
        *("ct", "meta"),  # `ct original ip daddr`, `meta skuid`, tproxy.
    }


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        ("meta iifname { cni*, eth3 } accept", "interface", ["cni+", "eth3"]),
        ("ip saddr @crowd drop", "network", ["198.51.100.7/32,198.51.100.8/32"]),
        (
            "ip saddr range 192.0.2.5, 192.0.2.9 drop",
            "network",
            ["192.0.2.5/32,192.0.2.6/31,192.0.2.8/31"],
        ),
        ("ip saddr . tcp dport { 1.2.3.4 . 22 } accept", "network", ["1.2.3.4/32"]),
    ],
)
def test_conditions_on_the_client(text, kind, values):
    steps = steps_of("expressions")[f"chain pre: {text}"]

    assert [each.sources for each in steps] == [
        (SourceTest(kind, value, negated=False),) for value in values
    ]


def test_every_client_connects_from_an_unprivileged_port():
    (step,) = steps_of("expressions")["chain pre: tcp sport range 1024, 65535 accept"]

    assert (step.sources, step.never) == ((), False)


def test_sets_without_their_elements_are_unknown():
    steps = steps_of("expressions-terse")
    found = recorded_table("expressions-terse").table
    assert all(not each.elem for each in found.sets.values())

    terse = PacketTranslator(4, "inet firewalld", {})
    rules = found.rules["pre"]
    (step,) = next(s for r in rules if (s := terse.steps([r])) and "@crowd" in s[0].text)
    assert [each.kind for each in step.sources] == ["set"]
    assert steps


@pytest.mark.parametrize(
    ("text", "packets"),
    [
        ("tcp dport { 22, range 80, 90 } accept", [("tcp", 22), ("tcp", 80), ("tcp", 85)]),
        ("meta l4proto { tcp, udp } th dport 53 accept", [("tcp", 53), ("udp", 53)]),
        ("meta l4proto . th dport { udp . 53, tcp . 80 } accept", [("udp", 53), ("tcp", 80)]),
        ("tcp dport != { 80, 443 } drop", [("tcp", 22), ("tcp", 85), ("tcp", 53)]),
    ],
)
def test_conditions_on_the_port(text, packets):
    steps = steps_of("expressions")[f"chain pre: {text}"]
    every = [(protocol, port) for protocol in ("tcp", "udp") for port in (22, 53, 80, 85, 443)]
    met = [
        (protocol, port)
        for protocol, port in every
        if any(concerns(Packet(4, "10.0.0.1", 167772161, protocol, port, False), s) for s in steps)
    ]
    assert sorted(met) == sorted(packets)


def test_rules_for_ipv6_are_read_for_ipv6_only():
    text = "chain pre: ip6 saddr fd00::/8 accept"
    (of_4,), (of_6,) = steps_of("expressions")[text], steps_of("expressions", 6)[text]

    assert of_4.never
    assert not of_6.never
    assert of_6.sources == (SourceTest("network", "fd00::/8", negated=False),)


@pytest.mark.parametrize("port", [{"port": 9}, None])
def test_a_redirection_takes_connections_to_the_node_itself(port):
    found = found_with("nftables", table_of([TO_SERVICE, {"redirect": port}], type="nat"))

    assert kinds(found) == {(Kind.SHADOWED, CLUSTER_IP.port)}
    where = {each.found.partition(",")[0] for each in found}
    assert where == {f"127.0.0.1:{port['port'] if port else CLUSTER_IP.port}"}
