"""Mutations: each edit is one change, and a harmless one has a reason that holds."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.referee import record
from testbed.referee.dice import Dice
from testbed.referee.harmless_iptables import why_harmless
from testbed.referee.harmless_ipvs import Around, why_of_servers, why_of_sets
from testbed.referee.harmless_nftables import why_harmless as why_nftables
from testbed.referee.iptables_words import is_exclusive
from testbed.referee.mutate_iptables import KINDS, edit_iptables
from testbed.referee.mutate_ipvs import (
    SERVER_KINDS,
    SET_KINDS,
    edit_addresses,
    edit_servers,
    edit_sets,
)
from testbed.referee.mutate_nftables import edit_nftables
from testbed.referee.mutation import ADDRESSES, Edit, Editor, NodeFacts, texts, with_text
from testbed.referee.mutations import try_mutations
from testbed.referee.results import Tally
from tests.dataplane.recorded import nft
from tests.dataplane.recorded import text as recorded_text

RULES = recorded_text("1.35.4.iptables-save.txt")
HERE = frozenset({"172.31.0.10"})
FACTS = NodeFacts(HERE, HERE, frozenset({"10.244.1.2"}))

SMALL = """*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SVC-OLD - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-A
-A KUBE-SERVICES -d 10.96.0.2/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-A
-A KUBE-SVC-A -j KUBE-SEP-A
-A KUBE-SEP-A -s {source}/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination {source}:8080
-A KUBE-SVC-OLD -j KUBE-SEP-A
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
COMMIT
"""


def reordered(text: str, at: int) -> Edit:
    lines = text.splitlines()
    fresh = [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]
    return Edit("reorder", lines[at], "", "\n".join(fresh) + "\n")


def deleted(text: str, at: int) -> Edit:
    lines = text.splitlines()
    return Edit("delete", lines[at], "", "\n".join(lines[:at] + lines[at + 1 :]) + "\n")


def line(text: str, start: str) -> int:
    return next(at for at, each in enumerate(text.splitlines()) if each.startswith(start))


def test_an_edit_of_iptables_rules_is_one_change():
    kinds = set()
    before = RULES.splitlines()
    for seed in range(60):
        edit = edit_iptables(Dice(seed), RULES)
        if edit is None:
            continue
        kinds.add(edit.kind)
        after = edit.text.splitlines()
        assert after != before
        differing = {"delete": -1, "shadow": 1}.get(edit.kind, 0)
        assert len(after) - len(before) == differing
        assert len(set(before) - set(after)) <= 1
    assert kinds == set(KINDS)


def test_an_edit_of_an_nftables_table_is_one_change():
    before = nft("1.35.4")
    kinds = set()
    for seed in range(60):
        edit = edit_nftables(Dice(seed), before)
        if edit is not None:
            kinds.add(edit.kind)
            assert json.loads(edit.text) != json.loads(before)
    assert {"delete", "delete element", "redirect", "shadow"} <= kinds


@pytest.mark.parametrize(
    ("one", "other", "exclusive"),
    [
        ({"-d": "10.0.0.1/32"}, {"-d": "10.0.0.2/32"}, True),
        ({"-d": "10.0.0.1/32"}, {"-d": "10.0.0.0/8"}, False),
        ({"-d": "10.0.0.1/32", "--dport": "80"}, {"-d": "10.0.0.1/32", "--dport": "81"}, True),
        ({"-p": "tcp"}, {"-p": "udp"}, True),
        ({"-d": "10.0.0.1/32"}, {"-p": "tcp"}, False),
        ({"-s": "10.244.0.0/16"}, {"--src-type": "LOCAL"}, True),
        ({"-s": "172.31.0.0/16"}, {"--src-type": "LOCAL"}, False),
    ],
)
def test_rules_are_exclusive_where_no_packet_matches_both(one, other, exclusive):
    assert is_exclusive(one, other, FACTS.addresses) is exclusive


def test_rules_of_two_services_may_be_swapped():
    text = SMALL.format(source="10.244.1.2")
    at = line(text, "-A KUBE-SERVICES -d 10.96.0.1")
    assert why_harmless(reordered(text, at), text, FACTS) == "no packet matches both"


def test_what_nothing_leads_to_may_go():
    text = SMALL.format(source="10.244.1.2")
    edit = deleted(text, line(text, "-A KUBE-SVC-OLD"))
    assert why_harmless(edit, text, FACTS) == "no rule jumps to its chain"


def test_hairpins_matter_where_the_endpoint_is():
    here, there = SMALL.format(source="10.244.1.2"), SMALL.format(source="10.244.2.2")
    at = line(here, "-A KUBE-SEP-A -s")
    assert why_harmless(deleted(here, at), here, FACTS) == ""
    assert "another node" in why_harmless(deleted(there, at), there, FACTS)


def test_a_frontends_rule_is_never_harmless_to_delete():
    text = SMALL.format(source="10.244.1.2")
    at = line(text, "-A KUBE-SERVICES -d 10.96.0.1")
    assert why_harmless(deleted(text, at), text, FACTS) == ""


@pytest.mark.parametrize(
    ("interface", "exclusive"), [("veth+", True), ("lo", False)], ids=["pods", "loopback"]
)
def test_a_packet_of_the_nodes_own_does_not_come_in_by_an_interface_of_pods(interface, exclusive):
    assert is_exclusive({"-i": interface}, {"--src-type": "LOCAL"}) is exclusive


def test_an_edit_is_the_same_whatever_order_the_kernel_tells_things_in():
    listing = json.loads(nft("1.35.4"))
    for each in listing["nftables"]:
        (inner,) = each.values()
        if inner.get("elem"):
            inner["elem"].reverse()
    turned = json.dumps(listing)
    for seed in range(40):
        one, other = (edit_nftables(Dice(seed), text) for text in (nft("1.35.4"), turned))
        assert (one and (one.kind, one.before)) == (other and (other.kind, other.before))


IPVS = record.read(
    Path(__file__).parents[2] / "recorded/random-services/sights/ipvs-1.34.4-200.json.gz"
)


@pytest.mark.parametrize(
    ("edit_of", "source", "kinds"),
    [
        (edit_servers, "ipvsadm-save", set(SERVER_KINDS)),
        (edit_sets, "ipset-save", set(SET_KINDS)),
        (edit_addresses, ADDRESSES, {"delete"}),
    ],
)
def test_an_edit_of_ipvs_is_one_change(edit_of: Editor, source: str, kinds: set[str]) -> None:
    before = texts(IPVS.document)[source]
    drawn = set()
    for seed in range(60):
        edit = edit_of(Dice(seed), before)
        if edit is None:
            continue
        drawn.add(edit.kind)
        lines = set(edit.text.splitlines()) ^ set(before.splitlines())
        assert lines >= {each for each in (edit.before, edit.after) if each}
        assert len(lines) <= 2 or edit.kind == "delete server"
    assert drawn == kinds


def test_an_address_that_is_gone_is_gone_from_the_sight() -> None:
    edit = edit_addresses(Dice(1), texts(IPVS.document)[ADDRESSES])
    assert edit is not None
    gone = edit.before.split()[1]
    sights = (IPVS, with_text(IPVS, ADDRESSES, edit.text))
    there = [gone in {a.address for a in s.document.namespaces[0].addresses} for s in sights]
    assert there == [True, False]


SERVERS = """-A -t 10.96.0.1:80 -s rr
-a -t 10.96.0.1:80 -r 10.244.1.2:8080 -m -w 1
-A -t 10.96.0.2:80 -s rr
"""
SETS = """create KUBE-LOOP-BACK hash:ip,port,ip family inet
add KUBE-LOOP-BACK 10.244.1.2,tcp:8080,10.244.1.2
add KUBE-LOOP-BACK 10.244.1.2,tcp:9090,10.244.1.2
create KUBE-CLUSTER-IP hash:ip,port family inet
add KUBE-CLUSTER-IP 10.96.0.1,tcp:80
add KUBE-CLUSTER-IP 10.96.0.2,tcp:80
"""


@pytest.mark.parametrize(
    ("entry", "harmless"),
    [
        ("KUBE-LOOP-BACK 10.244.1.2,tcp:8080,10.244.1.2", False),
        ("KUBE-LOOP-BACK 10.244.1.2,tcp:9090,10.244.1.2", True),
        ("KUBE-CLUSTER-IP 10.96.0.1,tcp:80", False),
        ("KUBE-CLUSTER-IP 10.96.0.2,tcp:80", True),
    ],
)
def test_why_an_entry_of_a_set_does_not_matter(entry: str, harmless: bool) -> None:
    edit = Edit("delete element", f"add {entry}", "", "")
    assert bool(why_of_sets(edit, Around(SERVERS, SETS), FACTS)) is harmless


@pytest.mark.parametrize(
    ("more", "harmless"),
    [
        ("", True),
        ("create KUBE-IPVS-IPS hash:ip family inet\nadd KUBE-IPVS-IPS 172.31.0.10\n", False),
        ("create KUBE-NODE-PORT-TCP bitmap:port range 0-65535\nadd KUBE-NODE-PORT-TCP 80\n", False),
    ],
    ids=["only there", "on kube-ipvs0", "a node port"],
)
def test_an_address_that_is_only_let_pass_need_not_be(more: str, harmless: bool) -> None:
    """One of the node's own that a Service has as externalIP."""
    gone = "add KUBE-EXTERNAL-IP-LOCAL 172.31.0.10,tcp:80"
    sets = f"create KUBE-EXTERNAL-IP-LOCAL hash:ip,port family inet\n{gone}\n{more}"
    servers = "-A -t 172.31.0.10:80 -s rr\n-a -t 172.31.0.10:80 -r 10.244.1.2:8080 -m -w 1\n"
    edit = Edit("delete element", gone, "", "")
    assert bool(why_of_sets(edit, Around(servers, sets), FACTS)) is harmless


@pytest.mark.parametrize(("pods", "harmless"), [("10.244.1.0", True), ("10.244.2.0", False)])
def test_what_nobody_from_an_address_is_led_to_does_not_matter_to_it(
    pods: str, harmless: bool
) -> None:
    saddr = {"payload": {"protocol": "ip", "field": "saddr"}}
    of_pods = {"match": {"op": "==", "left": saddr, "right": {"prefix": {"addr": pods, "len": 24}}}}
    own = {"match": {"op": "==", "left": saddr, "right": "10.244.2.9"}}
    things = [
        {"map": {"name": "service-nodeports", "elem": [[80, {"goto": {"target": "external-A"}}]]}},
        *(
            {"rule": {"chain": chain, "handle": at, "expr": expr}}
            for at, (chain, expr) in enumerate(
                (
                    ("external-A", [of_pods, {"goto": {"target": "service-A"}}]),
                    ("service-A", [{"goto": {"target": "endpoint-A"}}]),
                    ("endpoint-A", [own, {"jump": {"target": "mark-for-masquerade"}}]),
                )
            )
        ),
    ]
    rule = things[-1]["rule"]
    drop = {**rule, "expr": [own, {"drop": None}]}
    edit = Edit("shadow", json.dumps(rule), json.dumps([drop, rule]), "")
    before = json.dumps({"nftables": things})
    assert bool(why_nftables(edit, before, FACTS)) is harmless


def test_the_weight_of_an_only_server_does_not_matter() -> None:
    around = Around(SERVERS, SETS)
    line = SERVERS.splitlines()[1]
    edit = Edit("weight", line, line.replace("-w 1", "-w 5"), "")
    assert why_of_servers(edit, around, FACTS)
    second = line.replace("10.244.1.2", "10.244.1.3")
    assert not why_of_servers(edit, Around(f"{SERVERS}{second}\n", SETS), FACTS)


@pytest.mark.slow
def test_on_a_healthy_ipvs_node_no_mutation_is_missed() -> None:
    tally = Tally()
    assert not list(try_mutations(Dice(3), IPVS, 12, tally))
    assert tally.reported > 6


def test_a_rule_that_accepts_already_is_shadowed_by_itself() -> None:
    text = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j ACCEPT\nCOMMIT\n"
    line = "-A PREROUTING -j ACCEPT"
    edit = Edit("shadow", line, f"{line}\n{line}", text.replace(line, f"{line}\n{line}"))
    assert why_harmless(edit, text, FACTS) == "both do the same"


def test_a_rule_without_a_target_may_stand_anywhere() -> None:
    text = SMALL.format(source="10.244.1.2").replace(
        "-A KUBE-SVC-A -j KUBE-SEP-A", "-A KUBE-SVC-A -j KUBE-SEP-A\n-A KUBE-SVC-A -p tcp"
    )
    edit = reordered(text, line(text, "-A KUBE-SVC-A -j KUBE-SEP-A"))
    assert why_harmless(edit, text, FACTS) == "the rule has no target"


@pytest.mark.parametrize(("sources", "why"), [("10.0.0.0/8", "own"), ("172.31.0.0/16", "")])
def test_a_rule_for_the_nodes_own_does_not_matter_where_the_node_is_not_let_in(
    sources: str, why: str
) -> None:
    external = (
        ":KUBE-EXT-A - [0:0]\n:KUBE-FW-A - [0:0]\n"
        "-A KUBE-SERVICES -d 198.19.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-FW-A\n"
        f"-A KUBE-FW-A -s {sources} -j KUBE-EXT-A\n"
        "-A KUBE-EXT-A -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ\n"
        "-A KUBE-EXT-A -j KUBE-SVC-A\n-A KUBE-SVC-A"
    )
    text = SMALL.format(source="10.244.1.2").replace("-A KUBE-SVC-A", external, 1)
    found = why_harmless(deleted(text, line(text, "-A KUBE-EXT-A -m addrtype")), text, FACTS)
    assert ("own connections get there" in found) is bool(why)


GUARDED = """[
  {"map": {"name": "service-ips", "elem": [[{"concat": ["198.19.0.1", "tcp", 80]},
    {"goto": {"target": "external-A"}}]]}},
  {"map": {"name": "firewall-ips", "elem": [[{"concat": ["198.19.0.1", "tcp", 80]},
    {"goto": {"target": "firewall-A"}}]]}},
  {"rule": {"chain": "firewall-A", "handle": 1, "expr": [{"match": {"op": "!=",
    "left": {"payload": {"protocol": "ip", "field": "saddr"}},
    "right": {"prefix": {"addr": "%s", "len": 16}}}}, {"drop": null}]}},
  {"rule": {"chain": "external-A", "handle": 2, "expr": [{"match": {"op": "==",
    "left": {"fib": {"result": "type", "flags": ["saddr"]}}, "right": "local"}},
    {"jump": {"target": "mark-for-masquerade"}}]}},
  {"rule": {"chain": "external-A", "handle": 3, "expr": [{"drop": null}]}}]"""


@pytest.mark.parametrize(("sources", "harmless"), [("10.0.0.0", True), ("172.31.0.0", False)])
def test_a_rule_of_nftables_for_the_nodes_own_matters_where_the_node_is_let_in(
    sources: str, harmless: bool
) -> None:
    things = json.loads(GUARDED % sources)
    before = json.dumps({"nftables": things})
    edit = Edit("delete", json.dumps(things[3]["rule"]), "", before)
    assert bool(why_nftables(edit, before, FACTS)) is harmless


@pytest.mark.parametrize(
    ("spared", "dropped", "harmless"),
    [("172.31.0.0", True, True), ("10.0.0.0", True, False), ("172.31.0.0", False, False)],
)
def test_a_firewall_that_lets_in_whom_its_service_leads_may_go(
    spared: str, dropped: bool, harmless: bool
) -> None:
    """All others are dropped as well, where the Service has no endpoint for them."""
    things = json.loads(GUARDED % spared)
    things[3]["rule"]["expr"][-1] = {"goto": {"target": "service-A"}}
    things[4]["rule"]["expr"] = [{"counter": None}]
    place = {"concat": ["198.19.0.1", "tcp", 80]}
    refused = {"map": {"name": "no-endpoint-services", "elem": [[place, {"drop": None}]]}}
    before = json.dumps({"nftables": [*things, *[refused] * dropped]})
    element = {"firewall-ips": [place, {"goto": {"target": "firewall-A"}}]}
    edit = Edit("delete element", json.dumps(element), "", before)
    facts = replace(FACTS, sources=frozenset({"172.31.0.10"}))
    assert bool(why_nftables(edit, before, facts)) is harmless


@pytest.mark.parametrize("keys", [[], [[{"concat": ["198.19.0.1", "tcp", 80]}, {"drop": None}]]])
def test_a_jump_to_a_map_without_elements_may_go(keys: list[object]) -> None:
    ask = [{"vmap": {"key": {"meta": {"key": "l4proto"}}, "data": "@firewall-ips"}}]
    jump = [{"jump": {"target": "firewall-check"}}]
    things = [
        {"map": {"name": "firewall-ips", "elem": keys}},
        {"rule": {"chain": "firewall-check", "handle": 1, "expr": ask}},
        {"rule": {"chain": "filter-output-pre-dnat", "handle": 2, "expr": jump}},
    ]
    before = json.dumps({"nftables": things})
    edit = Edit("delete", json.dumps(things[2]["rule"]), "", before)
    assert bool(why_nftables(edit, before, FACTS)) is not bool(keys)
