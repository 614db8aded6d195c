"""IPv6 neighbour discovery meets packet filters: a rule that stops it cuts pods off."""

from __future__ import annotations

import pytest

from tests.changed_recordings import Document
from tests.paths.conftest import END, HEAD, Change, complete, on, with_rules
from tests.paths.test_dying import dies
from wirecheck.addresses import address
from wirecheck.paths.later_packets import DISCOVERY, source_port_matches
from wirecheck.paths.packet import Segment

WEB, CHECKOUT = "pod/shop/web-678979c555-dqkc9", "fd00:244:0:1::a"
"""On one node, in one bridge."""
SAVED = HEAD.replace("iptables", "ip6tables") + "*filter\n{}COMMIT\n" + END
CHAINS = ":INPUT {} [0:0]\n:FORWARD {} [0:0]\n:OUTPUT {} [0:0]\n"
BRIDGE_CALLS = "/proc/sys/net/bridge/bridge-nf-call-ip6tables"


def in_ipv6(document: Document) -> None:
    """Nobody knows a neighbour, and the kernel has its defaults."""
    document["files"][BRIDGE_CALLS] = "1"
    for each in document["namespaces"]:
        each["neighbours"] = [e for e in each.get("neighbours", ()) if ":" not in e["address"]]
        each["listeners"] = [{"address": "::", "port": 8080}]


def saved(*rules: str, policy: str = "ACCEPT") -> str:
    chains = CHAINS.format(*(policy,) * 3)
    return SAVED.format(chains + "".join(f"{each}\n" for each in rules))


def on_node(rule: str, table: str) -> Change:
    def change(document: Document) -> None:
        own = document["commands"]["ip6tables-nft-save"]
        with_rules(rule, table=table)({"commands": {"iptables-nft-save": own}})

    return on("wc-w2", change)


def in_pod(text: str, address: str = CHECKOUT) -> Change:
    def change(document: Document) -> None:
        for each in document["namespaces"][1:]:
            if any(e["address"] == address for e in each["addresses"]):
                record = {"argv": ["ip6tables-nft-save"], "status": 0, "output": text}
                each["filters"] = ["ip6 filter"]
                each["listings"] = {"ip6tables-nft-save": record}

    return on("wc-w2", change)


TCP = "-p tcp -j ACCEPT"
SOLICITATIONS, ADVERTISEMENTS = (
    f"-p ipv6-icmp -m icmp6 --icmpv6-type {number} -j ACCEPT" for number in (135, 136)
)


@pytest.mark.parametrize(
    ("rules", "result"),
    [
        ((f"-A INPUT {TCP}", f"-A OUTPUT {TCP}"), "dies"),
        ((f"-A INPUT {TCP}", f"-A OUTPUT {TCP}", "-A INPUT -p ipv6-icmp -j ACCEPT"), "dies"),
        ((f"-A INPUT {TCP}", f"-A OUTPUT {TCP}", "-A INPUT -p ipv6-icmp -j ACCEPT",
          "-A OUTPUT -p ipv6-icmp -j ACCEPT"), "reaches"),
        ((f"-A INPUT {TCP}", f"-A OUTPUT {TCP}", f"-A INPUT {SOLICITATIONS}",
          f"-A OUTPUT {ADVERTISEMENTS}"), "reaches"),
        ((f"-A INPUT {TCP}", f"-A OUTPUT {TCP}", f"-A INPUT {ADVERTISEMENTS}",
          f"-A OUTPUT {SOLICITATIONS}"), "dies"),
        (("-A INPUT -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT", "-A OUTPUT -j ACCEPT"),
         "dies"),
        (("-A INPUT -m conntrack --ctstate NEW,ESTABLISHED,UNTRACKED -j ACCEPT",
          "-A OUTPUT -j ACCEPT"), "reaches"),
    ],
)  # fmt: skip
def test_rules_in_the_pod_that_is_asked(traced, rules: tuple[str, ...], result: str) -> None:
    pod = in_pod(saved(*rules, policy="DROP"))
    view = traced(WEB, CHECKOUT, complete, on("wc-w2", in_ipv6), pod, of="dual-stack", port="8080")

    assert view.result == result, view.reason
    if result == "dies":
        stage, reason = dies(view)[1:3]
        assert stage == "neighbour on eth0"
        assert "neighbour discovery is dropped" in reason


@pytest.mark.parametrize(
    ("rule", "table", "result"),
    [
        ("-A FORWARD -p ipv6-icmp -j DROP", "filter", "dies"),
        ("-A FORWARD -p tcp -m tcp --dport 9 -j DROP", "filter", "reaches"),
        ("-A INPUT -p ipv6-icmp -j DROP", "filter", "reaches"),
        ("-A PREROUTING -j HL --hl-set 64", "mangle", "dies"),
        ("-A PREROUTING -p tcp -j HL --hl-set 64", "mangle", "reaches"),
        ("-A OUTPUT -p ipv6-icmp -j MARK --set-xmark 0x7/0xffffffff", "mangle", "reaches"),
    ],
)
def test_rules_of_the_node_for_bridged_packets(traced, rule: str, table: str, result: str) -> None:
    changes = complete, on("wc-w2", in_ipv6), on_node(rule, table)
    view = traced(WEB, CHECKOUT, *changes, of="dual-stack", port="8080")

    assert view.result == result, view.reason
    if result == "dies":
        assert dies(view)[1] == "neighbour on eth0"
        assert dies(view)[3].endswith(rule)


@pytest.mark.parametrize(("mark", "result"), [("0x7", "dies"), ("0x8", "reaches")])
def test_an_answer_that_is_marked_is_routed_again(traced, mark: str, result: str) -> None:
    marked = "-A OUTPUT -p ipv6-icmp -m icmp6 --icmpv6-type 136 -j MARK --set-xmark 0x7/0xffffffff"

    def change(document: Document) -> None:
        for each in document["namespaces"][1:]:
            rule = {"family": 6, "priority": 5, "table": 0, "action": "blackhole", "mark": mark}
            each["rules"] = [rule, *each["rules"]]

    changes = complete, on("wc-w2", in_ipv6), in_pod(saved(marked)), on("wc-w2", change)
    view = traced(WEB, CHECKOUT, *changes, of="dual-stack", port="8080")

    assert view.result == result, view.reason
    if result == "dies":
        assert "neighbour discovery is refused by a route" in dies(view)[2]


def test_who_is_known_is_not_asked(traced) -> None:
    def known(document: Document) -> None:
        in_ipv6(document)
        macs = {
            entry["address"]: (link["index"], link["mac"])
            for each in document["namespaces"][1:]
            for entry in each["addresses"]
            for link in each["links"]
            if link["index"] == entry["index"]
        }
        for each in document["namespaces"][1:]:
            index = next((e["index"] for e in each["links"] if e["name"] == "eth0"), 0)
            each["neighbours"] += [
                {"address": where, "index": index, "mac": mac, "state": "STALE"}
                for where, (_, mac) in macs.items()
                if where.startswith("fd00:244:0:1:")
            ]

    rule = in_pod(saved("-A INPUT -p ipv6-icmp -j DROP"))
    changes = complete, on("wc-w2", known), rule
    assert traced(WEB, CHECKOUT, *changes, of="dual-stack", port="8080").result == "reaches"


@pytest.mark.parametrize(
    ("condition", "number", "matches"),
    [
        ("--icmpv6-type 135", 135, True),
        ("--icmpv6-type 135", 136, False),
        ("icmpv6 type nd-neighbor-solicit,nd-neighbor-advert", 136, True),
        ("icmpv6 type echo-request", 136, False),
        ("--icmpv6-type 135/0", 135, None),
        ("icmpv6 code 0", 135, None),
        ("--limit-iface-in", 135, None),
    ],
)
def test_conditions_on_icmp_types(condition: str, number: int, matches: bool | None) -> None:
    where = address("fe80::1")
    packet = Segment(where, where, DISCOVERY, number)

    assert source_port_matches(condition, packet) is matches


@pytest.mark.parametrize(("selector", "result"), [("source", "reaches"), ("destination", "dies")])
def test_a_pod_is_routed_before_its_source_is_chosen(traced, selector: str, result: str) -> None:
    where = "fd00:244:0:1::8" if selector == "source" else CHECKOUT

    def change(document: Document) -> None:
        in_ipv6(document)
        for each in document["namespaces"][1:]:
            if any(e["address"] == "fd00:244:0:1::8" for e in each["addresses"]):
                rule = {"family": 6, "priority": 5, "table": 0, "action": "blackhole"}
                each["rules"] = [{**rule, selector: f"{where}/128"}, *each["rules"]]

    view = traced(WEB, CHECKOUT, complete, on("wc-w2", change), of="dual-stack", port="8080")

    assert view.result == result, view.reason
