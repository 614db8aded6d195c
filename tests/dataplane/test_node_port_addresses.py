"""Node ports at every address of the node, not at the first one only."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from testbed.referee import record
from testbed.referee.judging import Sight
from testbed.referee.mutation import with_text
from tests.dataplane import small
from tests.dataplane.small import facts, index_of
from wirecheck.dataplane.clients import clients_of
from wirecheck.dataplane.expected.proxy_view import proxy_views_of
from wirecheck.dataplane.expected.services import expected_table
from wirecheck.dataplane.iptables.reader import apart_on_localhost
from wirecheck.dataplane.table import Client, Frontend, Handling, Verdict
from wirecheck.parse.iptables import parse_iptables_save
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.service import ServicePortSpec

SIGHTS = Path(__file__).parents[1] / "recorded" / "random-services" / "sights"
FIRST = "172.31.0.10"
OPEN = ["172.31.0.10", "172.31.0.11", "10.9.9.7", "127.0.0.1", "fd00:31::11", "fe80::1"]


def sight(name: str) -> Sight:
    return record.read(SIGHTS / f"{name}.json.gz")


def changed(of: Sight, source: str, change: Callable[[str], str]) -> Sight:
    before = of.document.commands[source].output
    after = change(before)
    assert after != before
    return with_text(of, source, after)


def test_addresses_besides_the_first_are_compared() -> None:
    one = sight("iptables-1.34.4-100")
    only = changed(
        one,
        "iptables-nft-save",
        lambda text: text.replace(
            "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS", f"-d {FIRST}/32 -j KUBE-NODEPORTS"
        ),
    )
    found = "\n".join(only.disagreements)
    assert "127.0.0.1:3" in found
    assert "10.213.251.50:3" in found
    assert "node port" not in found


def test_each_virtual_server_of_a_node_port_is_compared() -> None:
    one = sight("ipvs-1.34.4-200")
    lines = one.document.commands["ipvsadm-save"].output.splitlines()
    place = next(each.split()[2] for each in lines if "-A -t 10.213.251.2:3" in each)
    kept = "".join(f"{each}\n" for each in lines if f" {place} " not in each)
    fewer = changed(one, "ipvsadm-save", lambda _: kept)
    assert [each for each in fewer.disagreements if place in each]


def test_another_scheduler_is_seen() -> None:
    one = sight("ipvs-1.34.4-200")
    other = changed(one, "ipvsadm-save", lambda text: text.replace("53 -s rr", "53 -s sh"))
    assert any("scheduler sh" in each for each in other.disagreements)


def test_a_rule_that_accepts_health_checks_is_missed() -> None:
    one = sight("ipvs-1.34.4-200")
    rule = '-A INPUT -m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT\n'
    fewer = changed(one, "iptables-legacy-save", lambda text: text.replace(rule, ""))
    assert any("health check" in each for each in fewer.disagreements)


@pytest.mark.parametrize(
    ("mode", "minor", "ranges", "accepted"),
    [
        ("iptables", 34, (), {"172.31.0.10", "172.31.0.11", "10.9.9.7", "127.0.0.1"}),
        ("iptables", 34, ("10.9.9.0/24",), {"10.9.9.7"}),
        ("iptables", 34, ("fd00::/8",), {"172.31.0.10", "172.31.0.11", "10.9.9.7", "127.0.0.1"}),
        ("iptables", 34, ("primary",), {"172.31.0.10"}),
        ("nftables", 34, (), {"172.31.0.10"}),
        ("nftables", 29, (), {"172.31.0.10", "172.31.0.11", "10.9.9.7"}),
        ("nftables", 34, ("172.31.0.0/24",), {"172.31.0.10", "172.31.0.11"}),
        ("ipvs", 34, (), {"172.31.0.10", "172.31.0.11", "10.9.9.7"}),
        ("ipvs", 34, ("10.9.9.0/24",), {"10.9.9.7"}),
    ],
)
def test_where_node_ports_are_open(
    mode: str, minor: int, ranges: tuple[str, ...], accepted: set[str]
) -> None:
    told = facts(f"1.{minor}.0", mode=mode, nodePortAddresses=list(ranges))
    clients = clients_of(small.NODE, told, OPEN, OPEN)
    view = proxy_views_of(small.NODE, told, clients)[4]
    compared_at = {ip_address(FIRST), *view.further_addresses}
    assert {str(each) for each in compared_at if view.accepts_at(each)} == accepted


@pytest.mark.parametrize(
    ("own", "compared"),
    [
        ("172.31.0.11", {*Client}),
        ("10.244.1.1", {*Client} - {Client.NODE}),
        ("10.244.7.1", {*Client} - {Client.NODE}),
        ("127.0.0.1", {Client.NODE}),
    ],
    ids=["plain", "of the node's pods", "of other nodes' pods", "localhost"],
)
def test_whose_connections_are_compared_at_a_further_address(
    own: str, compared: set[Client]
) -> None:
    """What the node sends to its bridge comes from there, and is taken for a pod's."""
    told = facts()
    ports = [ServicePortSpec(port=80, name="http", node_port=30080)]
    api = ApiObjects(
        services=[small.service(type="NodePort", ports=ports)],
        endpoint_slices=[small.slice_of(small.endpoint("10.244.1.2"))],
    )
    clients = clients_of(small.NODE, told, [FIRST, own], [FIRST, own])
    table = expected_table(index_of(api), small.NODE, told, clients)
    assert table.entries[Frontend(4, own, "tcp", 30080)].handlings.keys() == compared


def test_the_bridge_is_known_by_the_nodes_own_range_where_the_clusters_is_not() -> None:
    told = facts(clusterCIDR="")
    clients = clients_of(small.NODE, told, [FIRST, "10.244.1.1"], [FIRST, "10.244.1.1"])
    view = proxy_views_of(small.NODE, told, clients)[4]
    handlings = dict.fromkeys(Client, Handling(Verdict.NOTHING))
    at_bridge = view.only_at(ip_address("10.244.1.1"), handlings)
    assert at_bridge.keys() == {*Client} - {Client.NODE}


def test_localhost_is_closed_where_kube_proxy_was_told_so() -> None:
    told = facts(iptables={"localhostNodePorts": False})
    view = proxy_views_of(small.NODE, told, clients_of(small.NODE, told, OPEN, OPEN))[4]
    assert not view.accepts_at(ip_address("127.0.0.1"))


def test_of_many_node_ports_some_are_compared_at() -> None:
    told = facts()
    clients = clients_of(small.NODE, told, OPEN, OPEN)
    few, many = (proxy_views_of(small.NODE, told, clients, count)[4] for count in (10, 10_000))
    assert few.compared_at(30_001)
    compared_at = [port for port in range(30_000, 32_768) if many.compared_at(port)]
    assert 0 < len(compared_at) * len(many.further_addresses) < 300


def test_where_the_first_address_is_closed_all_are_compared_at_elsewhere() -> None:
    told = facts(nodePortAddresses=["10.9.9.0/24"])
    clients = clients_of(small.NODE, told, OPEN, OPEN)
    many = proxy_views_of(small.NODE, told, clients, 10_000)[4]
    assert all(ip_address("10.9.9.7") in many.compared_at(port) for port in range(30_000, 30_100))


COPY = (
    "-A KUBE-NODEPORTS -d 127.0.0.0/8 -p tcp -m tcp --dport {port}"
    " -m nfacct --nfacct-name  localhost_nps_accepted_pkts -j {chain}\n"
)
OF_ALL = "-A KUBE-NODEPORTS -p tcp -m tcp --dport {port} -j {chain}\n"


def test_what_is_counted_on_localhost_is_compared_at_only_where_it_goes_elsewhere() -> None:
    rules = "".join(
        one.format(port=port, chain=chain)
        for port, copied in ((30001, "KUBE-EXT-A"), (30002, "KUBE-EXT-B"), (30003, "ACCEPT"))
        for one, chain in ((COPY, copied), (OF_ALL, "KUBE-EXT-A"))
    )
    dump = parse_iptables_save(small.save({"nat": rules}))
    apart = frozenset(apart_on_localhost(dump))
    assert apart == {30002, 30003}
    told = facts()
    clients = replace(clients_of(small.NODE, told, OPEN, OPEN), apart_on_localhost=apart)
    many = proxy_views_of(small.NODE, told, clients, 10_000)[4]
    on_localhost = [
        port for port in (30001, 30002, 30003) if ip_address("127.0.0.1") in many.compared_at(port)
    ]
    assert on_localhost == [30002, 30003]
