"""Which nftables tables of other programs are listed, and how much of them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.collect.on_node.conftest import FakeNode, plan
from wirecheck.collect.on_node.nft_tables import MOST, of_links, others
from wirecheck.parse.errors import ParseError
from wirecheck.parse.nft_tables import parse_table

MakeNode = Callable[..., FakeNode]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("table inet firewalld", [("inet", "firewalld")]),
        ("table ip docker-bridges", [("ip", "docker-bridges")]),
        ("table ip6 f2b_table.1", [("ip6", "f2b_table.1")]),
        ("table inet nat", [("inet", "nat")]),
        ("table inet kube-proxy", [("inet", "kube-proxy")]),
        ("table ip nat", []),
        ("table ip6 filter", []),
        ("table ip kube-proxy", []),
        ("table ip cni_hostport", []),
        ("table bridge filter", []),
        ("table arp filter", []),
        ("table netdev ingress", []),
    ],
)
def test_tables_that_no_other_command_lists(line: str, found: list[tuple[str, str]]) -> None:
    assert others(f"{line}\n") == found


@pytest.mark.parametrize(
    "name",
    ["a; flush ruleset", "a;flush", "a{}", "a b", "$x", "-f", "1a", "", "a" * 200, "a\x00b", "é"],
)
def test_a_name_that_nft_could_read_as_a_command_is_left_out(name: str) -> None:
    """nft joins its arguments and parses them as one text."""
    assert others(f"table inet {name}\ntable inet fine\n") == [("inet", "fine")]


def test_the_number_of_tables_is_limited() -> None:
    assert len(others("".join(f"table inet t{each}\n" for each in range(99)))) == MOST


@pytest.mark.needs("nft")
def test_tables_of_other_programs_are_listed(fake_node: MakeNode) -> None:
    node = fake_node()
    node.run("nft", "add table inet admin")
    node.run("nft", "add chain inet admin early { type filter hook prerouting priority -200; }")
    node.run("nft", "add rule inet admin early tcp dport 23 counter drop")
    node.run("nft", "add table ip6 empty")

    commands = node.visit(plan()).document.commands
    record = commands["nft-table inet admin"]
    assert record.argv == ["nft", "-j", "list", "table", "inet", "admin"]
    table = parse_table(record.output)
    assert table.chains["early"].prio == -200
    assert [each.expr[-1] for each in table.rules["early"]] == [{"drop": None}]
    assert commands["nft-table ip6 empty"].status == 0


@pytest.mark.needs("nft")
def test_a_long_table_is_listed_without_the_elements_of_its_sets(fake_node: MakeNode) -> None:
    node = fake_node()
    node.run("nft", "add table ip6 bans; add set ip6 bans many { type ipv6_addr; }")
    node.run("nft", "add chain ip6 bans first { type filter hook input priority 0; }")
    node.run("nft", "add rule ip6 bans first ip6 saddr @many drop")
    texts = [f"2001:db8:ffff:ffff:ffff:ffff:ffff:{each:x}" for each in range(1, 27_001)]
    for part in range(0, len(texts), 2_700):
        node.run("nft", f"add element ip6 bans many {{ {', '.join(texts[part : part + 2_700])} }}")

    record = node.visit(plan()).document.commands["nft-table ip6 bans"]
    assert "-t" in record.argv
    assert record.status == 0
    assert texts[0] not in record.output
    assert len(parse_table(record.output, has_elements=False).rules["first"]) == 1


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"nftables": [{"chain": {}}]}', '{"nftables": [{"rule": {}}]}', "[" * 9999],
)
def test_a_listing_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_table(text)


def test_counters_and_expiry_times_are_left_out() -> None:
    def listing(packets: int) -> str:
        elem = [{"elem": {"val": "10.0.0.1", "timeout": 60, "expires": packets}}]
        return json.dumps({"nftables": [
            {"set": {"family": "ip", "name": "s", "type": "ipv4_addr", "elem": elem}},
            {"chain": {"name": "c", "hook": "input", "prio": 0, "policy": "accept"}},
            {"rule": {"chain": "c", "handle": packets,
                      "expr": [{"counter": {"packets": packets}}, {"drop": None}]}},
        ]})  # fmt: skip

    one, other = parse_table(listing(1)), parse_table(listing(2))
    assert one.sets["s"].is_like(other.sets["s"])
    assert one.rules["c"].rules == other.rules["c"].rules


def test_tables_that_frames_meet() -> None:
    names = "table bridge filter\ntable arp a\ntable netdev n;x\ntable ip nat\ntable netdev n\n"

    assert of_links(names) == [("bridge", "filter"), ("arp", "a"), ("netdev", "n")]
