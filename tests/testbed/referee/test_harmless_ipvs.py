"""Why edits of ipsets and of the rules beside virtual servers are harmless, or why they are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.referee.harmless_ipvs import Around, why_of_sets
from testbed.referee.harmless_ipvs_rules import why_of_rules
from testbed.referee.mutation import Edit, NodeFacts

SERVED, EMPTY = "198.19.0.138", "198.19.0.89"
SERVERS = f"""\
-A -t {SERVED}:80 -s rr
-a -t {SERVED}:80 -r 10.244.3.40:8080 -m -w 1
-A -t {EMPTY}:80 -s rr
-A -t 10.96.1.88:80 -s rr
-a -t 10.96.1.88:80 -r 10.244.3.40:8080 -m -w 1
"""
FIREWALL = "-A KUBE-SOURCE-RANGES-FIREWALL"
BY_ADDRESS = f"{FIREWALL} -m set --match-set KUBE-LOAD-BALANCER-SOURCE-IP dst,dst,src -j RETURN"
DROP = f"{FIREWALL} -j DROP"
PORTAL = "-A KUBE-SERVICES -m set --match-set KUBE-LOAD-BALANCER dst,dst -j KUBE-LOAD-BALANCER"
OWN = "-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP src,dst -j KUBE-MARK-MASQ"
ACCEPT = "-A KUBE-SERVICES -m set --match-set KUBE-LOAD-BALANCER dst,dst -j ACCEPT"
CHAIN = "-A KUBE-LOAD-BALANCER -m set --match-set KUBE-LOAD-BALANCER-LOCAL dst,dst -j RETURN"
MASQUERADE = "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000"
MARK = "-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ"


def facts(*, masquerades_all: bool = False) -> NodeFacts:
    nothing: frozenset[str] = frozenset()
    return NodeFacts(nothing, nothing, nothing, masquerades_all=masquerades_all)


def around(*entries: str) -> Around:
    return Around(SERVERS, "".join(f"add {each}\n" for each in entries))


def swapped(one: str, other: str, before: str) -> Edit:
    return Edit("reorder", one, other, before.replace(f"{one}\n{other}", f"{other}\n{one}"))


@pytest.mark.parametrize(
    ("addresses", "is_harmless"), [((EMPTY,), True), ((EMPTY, SERVED), False), ((), True)]
)
def test_a_rule_for_servers_without_real_servers_may_stand_anywhere(addresses, is_harmless):
    entries = [f"KUBE-LOAD-BALANCER-SOURCE-IP {each},tcp:80,{each}" for each in addresses]
    jump = "-A INPUT -j KUBE-SOURCE-RANGES-FIREWALL"
    before = f"*filter\n:INPUT ACCEPT [0:0]\n{jump}\n{BY_ADDRESS}\n{DROP}\nCOMMIT\n"
    edit = swapped(BY_ADDRESS, DROP, before)

    assert bool(why_of_rules(edit, before, around(*entries), facts())) is is_harmless


@pytest.mark.parametrize(
    ("rule", "chain", "is_harmless"),
    [
        (OWN, (CHAIN, MARK), True),
        (ACCEPT, (CHAIN, MARK), False),
        (OWN, ("-A KUBE-LOAD-BALANCER -j ACCEPT",), False),
    ],
)
def test_rules_that_only_mark_may_change_places(rule, chain, is_harmless):
    entries = (f"KUBE-LOAD-BALANCER {SERVED},tcp:80", "KUBE-CLUSTER-IP 10.96.1.88,tcp:80")
    start = ("*nat", ":OUTPUT ACCEPT [0:0]", "-A OUTPUT -j KUBE-SERVICES", MASQUERADE)
    before = "\n".join((*start, *chain, PORTAL, rule, "COMMIT\n"))
    edit = swapped(PORTAL, rule, before)

    assert bool(why_of_rules(edit, before, around(*entries), facts())) is is_harmless


@pytest.mark.parametrize("is_contested", [True, False])
def test_a_rule_for_a_server_that_several_services_claim(is_contested):
    server = f"--vproto 6 --vaddr {SERVED} --vport 80"
    rule = f"-A KUBE-IPVS-OUT-FILTER -s {SERVED}/32 -m ipvs {server} -j DROP"
    start = "*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j KUBE-IPVS-OUT-FILTER\n"
    edit = Edit("delete", rule, "", f"{start}COMMIT\n")
    contested = frozenset({f"{SERVED},tcp:80"} if is_contested else ())
    known = replace(facts(), contested=contested)

    assert bool(why_of_rules(edit, f"{start}{rule}\nCOMMIT\n", around(), known)) is is_contested


@pytest.mark.parametrize("masquerades_all", [True, False])
def test_one_more_entry_that_masquerades_a_cluster_ip(masquerades_all):
    edit = Edit("add element", "", "add KUBE-EXTERNAL-IP 10.96.1.88,tcp:80", "")
    sets = around("KUBE-CLUSTER-IP 10.96.1.88,tcp:80")

    assert bool(why_of_sets(edit, sets, facts(masquerades_all=masquerades_all))) is masquerades_all


@pytest.mark.parametrize("policy", ["", "LOCAL-"])
def test_one_more_entry_for_a_node_port_that_is_never_masqueraded(policy):
    entry = "172.31.0.10,sctp:30675"
    edit = Edit("add element", "", f"add KUBE-EXTERNAL-IP-LOCAL {entry}", "")
    servers = f"-A --sctp-service 172.31.0.10:30675 -s rr\n{SERVERS}"
    servers += "-a --sctp-service 172.31.0.10:30675 -r 10.244.1.48:8082 -m -w 1\n"
    sets = Around(servers, f"add KUBE-NODE-PORT-{policy}SCTP-HASH {entry}\n")

    assert bool(why_of_sets(edit, sets, facts())) is bool(policy)
