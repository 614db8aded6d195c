"""iptables rules beside kube-proxy's nftables tables, in the order of the kernel."""

import json
from dataclasses import replace

import pytest

from tests.dataplane import recorded
from tests.dataplane.small import save
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Difference, Kind
from wirecheck.dataplane.compare.summary import summarised
from wirecheck.dataplane.nftables.reader import read_nftables
from wirecheck.dataplane.table import SAME_PRIORITY, Client, Frontend
from wirecheck.parse.iptables import parse_iptables_save

VERSION = "1.35.4"
WANTED = recorded.expected(VERSION, "nftables")
PORT = min(
    each.port
    for each, entry in WANTED.entries.items()
    if each.is_node_port and each.protocol == "tcp" and entry.handlings[Client.OUTSIDE].backends
)
CLUSTER_IP = min(
    each
    for each, entry in WANTED.entries.items()
    if not each.is_node_port and each.protocol == "tcp" and entry.handlings[Client.POD].backends
)
TO_POD = "-j DNAT --to-destination 10.244.0.3:9999"
PORTMAP = f"""
    -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
    -A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports {PORT} -j CNI-DN-1
    -A CNI-DN-1 -p tcp -m tcp --dport {PORT} {TO_POD}
"""
SERVICE = f"-A PREROUTING -d {CLUSTER_IP.address}/32 -p tcp -m tcp --dport {CLUSTER_IP.port}"


def found_beside(
    nat: str = "", *, legacy: str = "", priority: int | None = None, **further: str
) -> list[Difference]:
    """The differences with these rules of iptables; `priority` moves kube-proxy's nat chains."""
    listing = json.loads(recorded.nft(VERSION))
    for item in listing["nftables"]:
        chain = item.get("chain", {})
        if priority is not None and chain.get("type") == "nat":
            chain["prio"] = priority
    clients = replace(recorded.clients(VERSION, "nftables"), interfaces=frozenset({"eth0", "cni0"}))
    tables = {**further, **({"nat": nat} if nat else {})}
    dumps = [parse_iptables_save(save(tables)), parse_iptables_save(save({"nat": legacy}))]
    read = read_nftables(
        {4: json.dumps(listing)},
        clients,
        WANTED.entries,
        iptables={4: dumps if legacy else dumps[:1]},
    )
    return list(summarised(WANTED, compare(WANTED, read)).single)


def kinds(found: list[Difference]) -> set[tuple[Kind, int]]:
    return {(each.kind, each.frontend.port) for each in found}


@pytest.mark.parametrize(
    "rules",
    [
        PORTMAP,
        f"-A PREROUTING -p tcp -m tcp --dport {PORT} {TO_POD}",
        f"-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
        f"-A DOCKER -p tcp -m tcp --dport {PORT} {TO_POD}",
        f"-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n-A DOCKER -i docker0 -j RETURN\n"
        f"-A DOCKER ! -i docker0 -p tcp -m tcp --dport {PORT} {TO_POD}",
    ],
)
def test_a_port_mapping_of_the_same_priority_is_inconclusive(rules):
    found = found_beside(rules)

    assert kinds(found) == {(Kind.ORDER_UNKNOWN, PORT)}
    assert {each.found for each in found} == {SAME_PRIORITY}
    assert all(each.evidence[-1].endswith(TO_POD) for each in found)


def test_the_legacy_variant_counts_as_well():
    assert kinds(found_beside(legacy=PORTMAP)) == {(Kind.ORDER_UNKNOWN, PORT)}


@pytest.mark.parametrize("rule", [f"{SERVICE} {TO_POD}", f"{SERVICE} -j REDIRECT --to-ports 1"])
def test_a_rule_for_a_cluster_ip_counts_as_well(rule):
    found = found_beside(rule)

    assert kinds(found) == {(Kind.ORDER_UNKNOWN, CLUSTER_IP.port)}
    assert Client.NODE not in found[0].clients


def test_kube_proxy_s_chain_of_a_later_priority_is_shadowed():
    found = found_beside(PORTMAP, priority=-90)

    assert kinds(found) == {(Kind.SHADOWED, PORT)}
    assert all(each.third_party for each in found)


def test_kube_proxy_s_chain_of_an_earlier_priority_comes_first():
    assert found_beside(PORTMAP, priority=-105) == []


@pytest.mark.parametrize(
    "rules",
    [
        f"-A PREROUTING -p tcp -m tcp --dport {PORT} -j ACCEPT",
        f"-A PREROUTING -p tcp -m tcp --dport {PORT} -j RETURN",
        "-A PREROUTING -p tcp -m tcp --dport 9 -j DNAT --to-destination 10.244.0.3:9999",
        f"-A OTHER -p tcp -m tcp --dport {PORT} {TO_POD}",
    ],
)
def test_rules_that_take_no_connection_of_a_service_change_nothing(rules):
    assert found_beside(rules) == []


def test_rules_that_iptables_mode_has_left_are_not_third_party():
    left = f"""
    -A PREROUTING -j KUBE-SERVICES
    -A OUTPUT -j KUBE-SERVICES
    {SERVICE.replace("PREROUTING", "KUBE-SERVICES")} -j KUBE-SVC-A
    -A KUBE-SVC-A {TO_POD}
    """
    assert found_beside(left) == []


def test_a_rule_before_the_nat_chains_decides():
    rule = f"{SERVICE} -j DROP"
    found = found_beside(raw=rule)

    assert kinds(found) == {(Kind.SHADOWED, CLUSTER_IP.port)}
    assert found[0].evidence == (f"iptables (nft): {rule}",)


def test_a_ban_is_no_fault_of_a_service_in_nftables_mode():
    assert found_beside(mangle="-A PREROUTING -s 198.51.100.7/32 -j DROP") == []
    assert found_beside(mangle="-A PREROUTING -m set --match-set blocked src -j DROP") == []


def test_a_mapping_that_takes_what_kube_proxy_leaves_is_certain():
    frontend = Frontend(4, "", "tcp", PORT)
    entry = WANTED.entries[frontend]
    assert entry.owner
    listing = json.loads(recorded.nft(VERSION))
    for item in listing["nftables"]:
        if item.get("map", {}).get("name") == "service-nodeports":
            item["map"]["elem"] = [
                each for each in item["map"]["elem"] if PORT not in each[0]["concat"]
            ]
    clients = recorded.clients(VERSION, "nftables")
    dumps = {4: [parse_iptables_save(save({"nat": PORTMAP}))]}
    read = read_nftables({4: json.dumps(listing)}, clients, WANTED.entries, iptables=dumps)
    found = summarised(WANTED, compare(WANTED, read)).of(Kind.SHADOWED)

    assert {each.frontend.port for each in found} == {PORT}
    assert replace(found[0], evidence=()).third_party
