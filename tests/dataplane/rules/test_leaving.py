"""Third-party rules that keep translated packets from being masqueraded by kube-proxy."""

from __future__ import annotations

import pytest

from tests.dataplane import recorded
from tests.dataplane.nftables.tables import match, table_of
from tests.dataplane.nftables.test_third_party import MODES, VERSION, WANTED, found_with
from tests.dataplane.small import NAT, WEB, differences, save
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Kind
from wirecheck.dataplane.iptables.reader import ruleset_in
from wirecheck.dataplane.nftables.reader import read_nftables
from wirecheck.dataplane.table import Client
from wirecheck.parse.iptables import parse_iptables_save

MASK = "--nfmask 0xffffffff --ctmask 0xffffffff"
RESTORE = f"CONNMARK --restore-mark {MASK}"
SAVE = f"CONNMARK --save-mark {MASK}"
CLEAR = "MARK --set-xmark 0x0/0xffffffff"
HAIRPIN = (Kind.HAIRPIN, (Client.POD,))


def found(*rules: str, table: str = "nat") -> dict[tuple[Kind, tuple[Client, ...]], tuple]:
    """What is found with these rules in front, with the last line of the evidence."""
    lines = "\n".join(rules)
    own = f"{lines}\n{NAT}" if table == "nat" else NAT
    tables = {"nat": own} if table == "nat" else {table: lines, "nat": own}
    return {
        (each.kind, each.clients): (each.evidence[-1], each.third_party)
        for each in differences(tables)
        if each.frontend == WEB
    }


OUTSIDE = (Kind.MASQUERADE, (Client.OUTSIDE,))
ALL = (Kind.MASQUERADE, (Client.NODE, Client.OUTSIDE))


@pytest.mark.parametrize(
    ("rule", "kinds"),
    [
        ("-A POSTROUTING -j ACCEPT", {ALL, HAIRPIN}),
        ("-A POSTROUTING -d 10.0.0.0/8 -j ACCEPT", {ALL, HAIRPIN}),
        ("-A POSTROUTING -d 10.244.0.0/16 -p tcp -j RETURN", {ALL, HAIRPIN}),
        ("-A POSTROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -j ACCEPT", {HAIRPIN}),
        (
            "-A POSTROUTING -p tcp -m tcp --dport 8080 -g ELSEWHERE\n-A ELSEWHERE -j LOG",
            {ALL, HAIRPIN},
        ),
        ("-A POSTROUTING -d 10.244.2.0/24 -j ACCEPT", {ALL}),
        ("-A POSTROUTING -s 172.31.0.10/32 -j ACCEPT", {(Kind.MASQUERADE, (Client.NODE,))}),
        ("-A POSTROUTING -s 192.168.0.0/16 -j ACCEPT", {OUTSIDE}),
    ],
)
def test_a_rule_that_ends_table_nat_is_named(rule: str, kinds: set) -> None:
    results = found(rule)

    assert set(results) == kinds
    assert set(results.values()) == {(rule.partition("\n")[0], True)}


@pytest.mark.parametrize(
    "rule",
    [
        "-A POSTROUTING -d 192.168.0.0/16 -j ACCEPT",
        "-A POSTROUTING -p udp -j ACCEPT",
        "-A POSTROUTING -m policy --dir out --pol ipsec -j ACCEPT",
        "-A POSTROUTING -m mark --mark 0x1/0x1 -j ACCEPT",
        "-A POSTROUTING -j OTHER\n-A OTHER -d 10.0.0.0/8 -j RETURN",
        "-A POSTROUTING -d 10.0.0.0/8 -j MASQUERADE",
        "-A POSTROUTING -d 10.0.0.0/8 -j LOG",
    ],
)
def test_rules_that_end_it_for_others_or_for_nobody_do_not_count(rule: str) -> None:
    assert found(rule) == {}


def test_a_rule_behind_kube_proxys_does_not_count() -> None:
    assert not differences({"nat": f"{NAT}\n-A POSTROUTING -d 10.0.0.0/8 -j ACCEPT"}).items


@pytest.mark.parametrize(
    ("rule", "kinds"),
    [
        (f"-A POSTROUTING -j {CLEAR}", {ALL, HAIRPIN}),
        (f"-A POSTROUTING -j {RESTORE}", {ALL, HAIRPIN}),
        ("-A POSTROUTING -p tcp -j MARK --set-xmark 0x2/0xffffffff", {ALL, HAIRPIN}),
        # What the node itself sends is not forwarded.
        (f"-A FORWARD -j {CLEAR}", {OUTSIDE, HAIRPIN}),
        (
            f"-A FORWARD -d 10.244.0.0/16 -j {RESTORE}",
            {OUTSIDE, HAIRPIN},
        ),
    ],
)
def test_a_rule_that_clears_kube_proxys_mark_is_named(rule: str, kinds: set) -> None:
    results = found(rule, table="mangle")

    assert set(results) == kinds
    assert set(results.values()) == {(rule, True)}


def test_the_recipe_for_shaping_traffic_by_connection_marks_is_named() -> None:
    rules = (
        f"-A POSTROUTING -j {RESTORE}",
        "-A POSTROUTING -m mark ! --mark 0x0 -j ACCEPT",
        "-A POSTROUTING -p tcp -m tcp --dport 8080 -j MARK --set-xmark 0x2/0xffffffff",
        f"-A POSTROUTING -j {SAVE}",
    )
    assert set(found(*rules, table="mangle").values()) == {(rules[0], True)}


@pytest.mark.parametrize(
    "rules",
    [
        ("-A POSTROUTING -j MARK --set-xmark 0x1/0x1",),
        ("-A POSTROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff",),
        (f"-A POSTROUTING -j {SAVE}",),
        # The connection has the mark by then.
        (f"-A POSTROUTING -j {SAVE}", f"-A POSTROUTING -j {RESTORE}"),
        (f"-A POSTROUTING -d 192.168.0.0/16 -j {CLEAR}",),
        (f"-A POSTROUTING -m connbytes --connbytes 1000000 -j {CLEAR}",),
        (f"-A POSTROUTING -m conntrack --ctstate ESTABLISHED -j {CLEAR}",),
        ("-A POSTROUTING -j CONNMARK --restore-mark --nfmask x --ctmask 0xff",),
    ],
)
def test_rules_that_leave_the_mark_alone_do_not_count(rules: tuple[str, ...]) -> None:
    assert found(*rules, table="mangle") == {}


def test_rules_that_masquerade_everything_are_named() -> None:
    rule = "-A POSTROUTING -j MASQUERADE"

    assert found(rule) == {
        (Kind.MASQUERADE, (Client.POD, Client.REMOTE_POD)): (rule, True),
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("hook", "priority"), [("forward", 0), ("postrouting", -150)])
@pytest.mark.parametrize(
    "value", [{"ct": {"key": "mark"}}, {"&": [{"meta": {"key": "mark"}}, 0xFF]}]
)
def test_a_table_of_nftables_may_clear_the_mark_in_both_modes(mode, hook, priority, value) -> None:
    rule = [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": value}}]
    found = found_with(mode, table_of(rule, hook=hook, priority=priority))

    assert {each.kind for each in found} <= {Kind.MASQUERADE, Kind.HAIRPIN}
    assert {each.evidence[-1].partition(": ")[0] for each in found} == {"nftables table ip admin"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("hook", "priority"), [("forward", 0), ("postrouting", -150), ("postrouting", 150)]
)
def test_other_rules_of_such_a_table_leave_it_alone(mode, hook, priority) -> None:
    mark = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 0}}
    rules = [
        [match({"meta": {"key": "oifname"}}, "wg0"), mark],
        [{"mangle": {"key": {"ct": {"key": "mark"}}, "value": {"meta": {"key": "mark"}}}}],
        *([[mark]] if priority > 100 else []),
    ]
    assert found_with(mode, table_of(*rules, hook=hook, priority=priority)) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_table_of_nftables_may_masquerade_everything(mode) -> None:
    table = table_of([{"masquerade": None}], hook="postrouting", priority=100, type="nat")
    found = found_with(mode, table)

    assert {(each.kind, each.found) for each in found} == {(Kind.MASQUERADE, "masqueraded")}
    assert {each.evidence[-1] for each in found} == {
        "nftables table ip admin: chain first: masquerade"
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "rule",
    [
        [match({"meta": {"key": "oifname"}}, "eth0"), {"masquerade": None}],
        [match({"meta": {"key": "mark"}}, 0x40000), {"masquerade": None}],
        [{"accept": None}],
        [{"return": None}],
    ],
)
def test_a_table_of_nftables_that_masquerades_others_changes_nothing(mode, rule) -> None:
    table = table_of(rule, hook="postrouting", priority=100, type="nat")

    assert found_with(mode, table) == []


def test_rules_of_iptables_masquerade_beside_kube_proxys_table() -> None:
    nat = save({"nat": "-A POSTROUTING -j MASQUERADE"})
    clients = recorded.clients(VERSION, "nftables")
    wanted = WANTED["nftables"]
    texts = {4: recorded.nft(VERSION)}
    beside = {4: [parse_iptables_save(nat)]}
    read = read_nftables(texts, clients, wanted.entries, iptables=beside)
    found = list(compare(wanted, read))

    assert {(each.kind, each.found) for each in found} == {(Kind.MASQUERADE, "masqueraded")}
    assert all("-A POSTROUTING -j MASQUERADE" in each.evidence[-1] for each in found)


CALICO = (
    "-A POSTROUTING -j cali-POSTROUTING",
    "-A cali-POSTROUTING -m mark --mark 0x10000/0x10000 -j RETURN",
    "-A cali-POSTROUTING -j MARK --set-xmark 0x0/0xf0000",
)


@pytest.mark.parametrize(
    ("rules", "matters"),
    [
        (CALICO, False),
        ((), False),
        (("-A POSTROUTING -j MARK --set-xmark 0x4000/0x4000",), True),
        ((f"-A POSTROUTING -j {CLEAR}",), True),
    ],
)
def test_rules_for_other_bits_of_the_mark_cost_nothing(rules: tuple, matters: bool) -> None:
    tables = {"mangle": "\n".join(rules), "nat": NAT} if rules else {"nat": NAT}
    cache = ReaderCache()
    ruleset = ruleset_in(4, [parse_iptables_save(save(tables))], cache)

    exemptions = ruleset.masquerading.exemptions
    assert exemptions is not None
    assert exemptions.matters is matters


def test_a_rule_for_packets_with_another_mark_costs_nothing() -> None:
    """Cilium marks what its proxy sends."""
    rule = "-A POSTROUTING -m mark --mark 0xa00/0xe00 -j ACCEPT"
    ruleset = ruleset_in(4, [parse_iptables_save(save({"nat": f"{rule}\n{NAT}"}))], ReaderCache())

    assert ruleset.masquerading.exemptions is not None
    assert not ruleset.masquerading.exemptions.matters
    own = "-A POSTROUTING -m mark --mark 0x4000/0x4000 -j ACCEPT"
    assert set(found(own)) == {ALL, HAIRPIN}
