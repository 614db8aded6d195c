"""Conditions that only a single packet decides: ipsets, source ports, reverse paths."""

from __future__ import annotations

import pytest

from tests.changed_recordings import Document
from tests.paths.conftest import FAR_GATEWAY, WEB, complete, on, with_rules
from tests.paths.test_dying import dies
from wirecheck.addresses import address
from wirecheck.parse.ipset import parse_ipset_save
from wirecheck.paths.ip_sets import IpSets
from wirecheck.paths.later_packets import answer_matches
from wirecheck.paths.packet import EPHEMERAL, Phase, Segment
from wirecheck.paths.states import state_matches

SETS = """\
create pods hash:net family inet hashsize 1024 maxelem 65536
add pods 10.244.0.0/16
create few hash:ip family inet hashsize 1024 maxelem 65536
add few 10.244.2.8
create pairs hash:ip,port family inet hashsize 1024 maxelem 65536
add pairs 10.244.1.9,tcp:8080
add pairs 10.244.1.9,udp:53
create holes hash:net family inet hashsize 1024 maxelem 65536
add holes 10.0.0.0/8
add holes 10.244.0.0/16 nomatch
create both list:set size 8
add both pods
create devices hash:net,iface family inet hashsize 1024 maxelem 65536
add devices 10.244.0.0/16,eth0
"""
PACKET = Segment(address("10.244.2.8"), address("10.244.1.9"), "tcp", 8080)


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("--match-set pods src", True),
        ("! --match-set pods src", False),
        ("--match-set few src", True),
        ("--match-set few dst", False),
        ("--match-set pairs dst,dst", True),
        ("--match-set pairs src,dst", False),
        ("--match-set pairs dst,src", None),
        ("--match-set holes src", None),
        ("--match-set both src", None),
        ("--match-set devices src,src", None),
        ("--match-set absent src", None),
        ("--match-set few src --update-counters", None),
    ],
)
def test_members_of_ipsets(condition: str, matches: bool | None) -> None:
    assert IpSets(parse_ipset_save(SETS)).matches(f"-m set {condition}", PACKET) is matches


def with_sets(text: str) -> object:
    def change(document: Document) -> None:
        record = {"argv": ["ipset", "save"], "status": 0, "output": text}
        document["commands"]["ipset-save"] = record

    return on("wc-w2", change)


@pytest.mark.parametrize(
    ("rule", "result"),
    [
        ("-m set --match-set few src -j DROP", "dies"),
        ("-s 10.244.2.8/32 -m set ! --match-set few src -j DROP", "reaches"),
        ("-m set --match-set pods src -m set ! --match-set pods dst -j DROP", "reaches"),
        ("-m set --match-set both src -j DROP", "cannot be decided"),
    ],
)
def test_a_rule_with_an_ipset(traced, rule: str, result: str) -> None:
    rules = with_rules(f"-A FORWARD {rule}")
    view = traced(WEB, FAR_GATEWAY, complete, with_sets(SETS), on("wc-w2", rules))

    assert view.result == result
    assert ("ipset was not read" in view.reason) is (result == "cannot be decided")


ANSWER = Segment(*(PACKET.destination, PACKET.source, "tcp", EPHEMERAL, 8080), phase=Phase.ANSWER)


@pytest.mark.parametrize(
    ("rule", "is_back", "matches"),
    [
        ("-p tcp -m tcp --sport 8080 -j DROP", None, True),
        ("-p tcp -m tcp --sport 81 -j DROP", None, False),
        ("-p tcp -m multiport --sports 80,8000:9000 -j DROP", None, True),
        ("chain c: tcp sport 8080 drop", None, True),
        ("chain c: tcp sport != 8080 drop", None, None),
        ("-p tcp -m tcp ! --sport 81 -j DROP", None, None),
        ("-m rpfilter --validmark --invert -j DROP", True, False),
        ("-m rpfilter --validmark --invert -j DROP", False, None),
        ("-m tcp --tcp-flags FIN,SYN,RST,ACK SYN --sport 8080 -j DROP", None, None),
        ("-m anything -j DROP", None, None),
    ],
)
def test_conditions_on_answers(rule: str, is_back: bool | None, matches: bool | None) -> None:
    assert answer_matches(rule, ANSWER, is_back=is_back) is matches


def test_a_rule_that_drops_answers_by_their_port(traced) -> None:
    rule = "-A FORWARD -s 10.244.1.9/32 -p tcp -m tcp --sport 8080 -j DROP"
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w1", with_rules(rule)))

    assert dies(view)[:2] == ("wc-w1", "forward")
    assert view.paths[0].there.result == "reaches"


def test_an_untracked_tunnel_does_not_exempt_what_is_in_it(traced) -> None:
    """Calico exempts its VXLAN packets; rules for connections apply to pods' packets."""
    notrack = "-A PREROUTING -p udp -m udp --dport 8472 -j CT --notrack"
    accept = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    drop = "-A FORWARD -d 10.244.1.9/32 -m conntrack --ctstate NEW -j DROP"
    changes = with_rules(notrack, table="raw"), with_rules(accept, drop)
    view = traced(WEB, FAR_GATEWAY, complete, *(on("wc-w1", each) for each in changes))

    assert dies(view)[3].endswith(drop)


@pytest.mark.parametrize(
    ("rule", "state", "matches"),
    [
        ("-p tcp -j DROP", "INVALID", True),
        ("-m conntrack --ctstate NEW -j DROP", "INVALID", False),
        ("-m conntrack --ctstate INVALID,NEW -j DROP", "INVALID", True),
        ("-m conntrack ! --ctstate NEW -j DROP", "INVALID", True),
        ("-m state --state UNTRACKED -j ACCEPT", "UNTRACKED", True),
        ("-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "UNTRACKED", False),
        ("chain c: ct state new drop", "INVALID", False),
        ("chain c: ct state != new drop", "INVALID", True),
        ("chain c: ct state { invalid, new } drop", "INVALID", True),
        ("-m conntrack --ctstate NEW --ctstatus DNAT -j DROP", "INVALID", None),
    ],
)
def test_states_without_a_connection(rule: str, state: str, matches: bool | None) -> None:
    assert state_matches(rule, state) is matches


@pytest.mark.parametrize(
    ("rule", "table", "result"),
    [
        ("-A PREROUTING -d 10.244.1.9/32 -m conntrack --ctstate NEW -j DROP", "raw", "reaches"),
        ("-A PREROUTING -d 10.244.1.9/32 -m conntrack --ctstate INVALID -j DROP", "raw", "dies"),
        ("-A PREROUTING -d 10.244.1.9/32 -m conntrack --ctstate NEW -j DROP", "mangle", "dies"),
        ("-A PREROUTING -d 10.244.1.9/32 -m conntrack --ctstate INVALID -j DROP", "mangle",
         "reaches"),
    ],
)  # fmt: skip
def test_table_raw_meets_packets_before_connection_tracking(
    traced, rule: str, table: str, result: str
) -> None:
    rules = with_rules(rule, table=table)

    assert traced(WEB, FAR_GATEWAY, complete, on("wc-w2", rules)).result == result


def test_an_exempt_packet_is_untracked_in_later_tables(traced) -> None:
    exempt = "-A PREROUTING -d 10.244.1.9/32 -j CT --notrack"
    drop = "-A FORWARD -d 10.244.1.9/32 -m conntrack --ctstate UNTRACKED -j DROP"
    changes = with_rules(exempt, table="raw"), with_rules(drop)
    view = traced(WEB, FAR_GATEWAY, complete, *(on("wc-w2", each) for each in changes))

    assert dies(view)[3].endswith(drop)


@pytest.mark.parametrize(("protocol", "state"), [("tcp", "INVALID"), ("udp", "NEW")])
def test_an_answer_whose_first_packet_was_exempt(traced, protocol: str, state: str) -> None:
    exempt = "-A PREROUTING -d 10.244.1.9/32 -j CT --notrack"
    drop = f"-A FORWARD -s 10.244.1.9/32 -m conntrack --ctstate {state} -j DROP"
    changes = with_rules(exempt, table="raw"), with_rules(drop)
    both = (on("wc-w2", each) for each in changes)
    view = traced(WEB, FAR_GATEWAY, complete, *both, protocol=protocol)

    assert dies(view)[3].endswith(drop)
    assert view.paths[0].there.result == "reaches"


CALICO = "../calico/healthy-{}"
COREDNS, VAULT = "pod/kube-system/coredns-7cccc57779-hxck8", "pod/sealed/vault-64786b6c45-xmdkh"


def test_a_reverse_path_rule_before_connection_tracking(traced) -> None:
    """Calico's stands in table raw, where every packet is invalid to connection tracking."""
    view = traced(COREDNS, VAULT, of=CALICO.format("iptables"), port="8200")

    assert view.result != "dies"
    assert "forward" in {each.stage for each in view.paths[0].there.hops}


def test_a_reverse_path_rule_that_a_packet_may_match(traced) -> None:
    rule = "-A PREROUTING -m rpfilter --validmark --invert -j DROP"

    def elsewhere(document: Document) -> None:
        document["namespaces"][0]["routes"].append(
            {"family": 4, "destination": "10.244.2.8/32", "type": "unicast", "index": 1}
        )

    raw = on("wc-w2", with_rules(rule, table="raw"))
    assert traced(WEB, FAR_GATEWAY, complete, raw).result == "reaches"
    view = traced(WEB, FAR_GATEWAY, complete, raw, on("wc-w2", elsewhere))
    assert (view.result, view.paths[0].decisive.lines) == ("cannot be decided", [rule])


@pytest.mark.parametrize(("known", "result"), [("1", "cannot be decided"), (None, "cannot be")])
def test_a_gateway_that_may_answer_for_others(traced, known: str | None, result: str) -> None:
    """Without proxy_arp of `all`, that of the device decides; without both nothing is known."""

    def ask(document: Document) -> None:
        for each in document["namespaces"][1:]:
            each["neighbours"] = []
        for name in [each for each in document["files"] if "proxy_arp" in each]:
            document["files"].pop(name)
            if known is not None:
                document["files"][name] = known

    change = on("tb-cp", ask)
    view = traced(COREDNS, VAULT, change, of=CALICO.format("nftables"), port="8200")

    asked = view.paths[0].there.hops[1]
    assert asked.stage == "neighbour on eth0"
    assert view.result.startswith(result)
    assert ("proxy_arp" in asked.text) is (known is None)
