"""The IPVS reader, on what kube-proxy's source makes of one sticky load balancer and DNS."""

import pytest

from tests.dataplane import small
from tests.dataplane.nftables.tables import DADDR, DROP, SADDR, match, recorded_table, table_of
from tests.dataplane.small import endpoint, facts, index_of, service, slice_of
from wirecheck.addresses import network
from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.clients import Clients, clients_of
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Differences, Kind
from wirecheck.dataplane.expected.services import expected_table
from wirecheck.dataplane.ipvs.reader import IpvsTexts, read_ipvs
from wirecheck.dataplane.nftables.tables import NamedTable
from wirecheck.dataplane.table import Client, Frontend, Masquerade, ServiceTable, Verdict
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.service import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    ServiceObject,
    ServicePortSpec,
    ServiceStatus,
    SessionAffinityConfig,
)

WEB = Frontend(4, "10.96.0.20", "tcp", 80)
VIP = Frontend(4, "198.51.100.1", "tcp", 80)
NODE_PORT = Frontend(4, "", "tcp", 30080)
EMPTY = Frontend(4, "10.96.0.30", "udp", 53)

IP_VS = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A600014:0050 rr persistent 2700000 FFFFFFFF
  -> 0AF40102:1F90      Masq    1      0          0
  -> 0AF40203:1F90      Masq    1      0          0
TCP  C6336401:0050 rr persistent 2700000 FFFFFFFF
  -> 0AF40102:1F90      Masq    1      0          0
TCP  AC1F000A:7580 rr persistent 2700000 FFFFFFFF
  -> 0AF40102:1F90      Masq    1      0          0
TCP  0AF40101:7580 rr persistent 2700000 FFFFFFFF
  -> 0AF40102:1F90      Masq    1      0          0
UDP  0A60001E:0035 rr
"""
IPSETS = """\
create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536
add KUBE-CLUSTER-IP 10.96.0.20,tcp:80
add KUBE-CLUSTER-IP 10.96.0.30,udp:53
create KUBE-LOAD-BALANCER hash:ip,port family inet hashsize 1024 maxelem 65536
add KUBE-LOAD-BALANCER 198.51.100.1,tcp:80
create KUBE-LOAD-BALANCER-LOCAL hash:ip,port family inet hashsize 1024 maxelem 65536
add KUBE-LOAD-BALANCER-LOCAL 198.51.100.1,tcp:80
create KUBE-LOAD-BALANCER-FW hash:ip,port family inet hashsize 1024 maxelem 65536
add KUBE-LOAD-BALANCER-FW 198.51.100.1,tcp:80
create KUBE-LOAD-BALANCER-SOURCE-CIDR hash:ip,port,net family inet hashsize 1024 maxelem 65536
add KUBE-LOAD-BALANCER-SOURCE-CIDR 198.51.100.1,tcp:80,203.0.113.0/24
create KUBE-LOOP-BACK hash:ip,port,ip family inet hashsize 1024 maxelem 65536
add KUBE-LOOP-BACK 10.244.1.2,tcp:8080,10.244.1.2
create KUBE-NODE-PORT-TCP bitmap:port range 0-65535
add KUBE-NODE-PORT-TCP 30080
create KUBE-NODE-PORT-LOCAL-TCP bitmap:port range 0-65535
add KUBE-NODE-PORT-LOCAL-TCP 30080
create KUBE-HEALTH-CHECK-NODE-PORT bitmap:port range 0-65535
add KUBE-HEALTH-CHECK-NODE-PORT 32000
create KUBE-IPVS-IPS hash:ip family inet hashsize 1024 maxelem 65536
add KUBE-IPVS-IPS 10.96.0.20
add KUBE-IPVS-IPS 10.96.0.30
add KUBE-IPVS-IPS 198.51.100.1
"""
NAT = """
    -A PREROUTING -j KUBE-SERVICES
    -A OUTPUT -j KUBE-SERVICES
    -A POSTROUTING -j KUBE-POSTROUTING
    -A KUBE-SERVICES -s 127.0.0.0/8 -j RETURN
    -A KUBE-SERVICES -m set --match-set KUBE-LOAD-BALANCER dst,dst -j KUBE-LOAD-BALANCER
    -A KUBE-SERVICES ! -s 10.244.0.0/16 -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ
    -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT
    -A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT
    -A KUBE-SERVICES -m set --match-set KUBE-LOAD-BALANCER dst,dst -j ACCEPT
    -A KUBE-LOAD-BALANCER -m set --match-set KUBE-LOAD-BALANCER-LOCAL dst,dst -j RETURN
    -A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ
    -A KUBE-NODE-PORT -p tcp -m set --match-set KUBE-NODE-PORT-LOCAL-TCP dst -j RETURN
    -A KUBE-NODE-PORT -p tcp -m set --match-set KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ
    -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
    -A KUBE-POSTROUTING -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE
    -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
    -A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
    -A KUBE-POSTROUTING -j MASQUERADE --random-fully
"""
FILTER = """
    -A INPUT -j KUBE-IPVS-FILTER
    -A INPUT -j KUBE-PROXY-FIREWALL
    -A INPUT -j KUBE-NODE-PORT
    -A FORWARD -j KUBE-PROXY-FIREWALL
    -A OUTPUT -j KUBE-IPVS-OUT
    -A KUBE-PROXY-FIREWALL -m set --match-set KUBE-LOAD-BALANCER-FW dst,dst -j KUBE-SOURCE-RANGES-FW
    -A KUBE-SOURCE-RANGES-FW -m set --match-set KUBE-LOAD-BALANCER-SOURCE-CIDR dst,dst,src -j RETURN
    -A KUBE-SOURCE-RANGES-FW -j DROP
    -A KUBE-IPVS-OUT -s 198.51.100.1/32 -m ipvs --vaddr 198.51.100.1 --vproto tcp --vport 80 -j DROP
    -A KUBE-NODE-PORT -m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst -j ACCEPT
    -A KUBE-IPVS-FILTER -m set --match-set KUBE-LOAD-BALANCER dst,dst -j RETURN
    -A KUBE-IPVS-FILTER -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN
    -A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT
"""
SECOND = "  -> 0AF40203:1F90      Masq    1      0          0\n"
BOUND = ("10.96.0.20", "10.96.0.30", "198.51.100.1", "10.244.1.1")


def api() -> ApiObjects:
    web = ServiceObject(
        Metadata(name="web", namespace="shop"),
        service(
            type="LoadBalancer",
            ports=[ServicePortSpec(port=80, name="http", node_port=30080)],
            external_traffic_policy="Local",
            health_check_node_port=32000,
            load_balancer_source_ranges=["203.0.113.0/24"],
            session_affinity="ClientIP",
            session_affinity_config=SessionAffinityConfig(),
        ).spec,
        ServiceStatus(LoadBalancerStatus([LoadBalancerIngress(ip=VIP.address)])),
    )
    empty = ServiceObject(
        Metadata(name="empty", namespace="shop"),
        service(
            cluster_ip=EMPTY.address,
            cluster_ips=[EMPTY.address],
            ports=[ServicePortSpec(port=53, name="dns", protocol="UDP")],
        ).spec,
    )
    endpoints = slice_of(endpoint("10.244.1.2", "here"), endpoint("10.244.2.3"))
    return ApiObjects(services=[web, empty], endpoint_slices=[endpoints])


def wanted(clients: Clients) -> ServiceTable:
    return expected_table(index_of(api()), small.NODE, facts(mode="ipvs"), clients)


def found(
    ip_vs: str = IP_VS,
    ipsets: str = IPSETS,
    nat: str = NAT,
    tables: str = FILTER,
    bound: tuple[str, ...] = BOUND,
    *,
    others: tuple[NamedTable, ...] = (),
) -> Differences:
    clients = clients_of(small.NODE, facts(mode="ipvs"), bound)
    rules = {4: small.save({"nat": nat, "filter": tables})}
    texts = IpvsTexts(ip_vs, ipsets, rules, tables=others)
    expected = wanted(clients)
    return compare(expected, read_ipvs(texts, clients, expected))


def kinds(differences: Differences) -> set[Kind]:
    return {each.kind for each in differences}


def test_a_healthy_node_has_no_difference() -> None:
    assert not found().items
    assert found().compared == 4


def test_what_is_read() -> None:
    clients = clients_of(small.NODE, facts(mode="ipvs"), BOUND)
    texts = IpvsTexts(IP_VS, IPSETS, {4: small.save({"nat": NAT, "filter": FILTER})})
    read = read_ipvs(texts, clients, wanted(clients))
    assert read.handling(WEB, Client.POD).shares == (0.5, 0.5)
    assert read.handling(WEB, Client.POD).affinity == (10800,)
    assert read.handling(WEB, Client.POD).hairpin == {Backend("10.244.1.2", 8080)}
    assert read.handling(WEB, Client.NODE).masquerade is Masquerade.ALWAYS
    assert read.handling(EMPTY, Client.POD).verdict is Verdict.REJECT
    assert read.handling(VIP, Client.OUTSIDE).allowed == ("203.0.113.0/24",)
    assert read.handling(VIP, Client.NODE).verdict is Verdict.DROP
    assert read.handling(NODE_PORT, Client.OUTSIDE).masquerade is Masquerade.NEVER
    assert read.health_check_ports == {(4, 32000)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ip_vs": IP_VS.replace(SECOND, "")},
         {Kind.BACKEND_MISSING}),
        ({"ip_vs": IP_VS.replace("0AF40203:1F90      Masq    1", "0AF40203:1F90      Masq    0")},
         {Kind.BACKEND_MISSING}),
        ({"ip_vs": IP_VS.replace("0AF40203:1F90      Masq    1", "0AF40203:1F90      Masq    3")},
         {Kind.WEIGHTS}),
        ({"ip_vs": IP_VS.replace("0AF40203", "0AF40209")},
         {Kind.BACKEND_MISSING, Kind.BACKEND_STALE}),
        ({"ip_vs": IP_VS.replace("0A60001E:0035", "0A60001F:0035")},
         {Kind.FRONTEND_MISSING, Kind.FRONTEND_STALE}),
        ({"ip_vs": IP_VS.replace("AC1F000A:7580", "AC1F000A:7581")},
         {Kind.FRONTEND_MISSING, Kind.FRONTEND_STALE}),
        ({"ip_vs": IP_VS.replace("persistent 2700000", "persistent 150000")}, {Kind.AFFINITY}),
        ({"bound": BOUND[1:]}, {Kind.VERDICT}),
        ({"ipsets": IPSETS.replace("203.0.113.0/24", "203.0.113.0/25")}, {Kind.SOURCES}),
        ({"ipsets": IPSETS.replace("add KUBE-LOAD-BALANCER-FW 198.51.100.1,tcp:80\n", "")},
         {Kind.SOURCES, Kind.VERDICT, Kind.BACKEND_WRONG}),
        ({"ipsets": IPSETS.replace("add KUBE-CLUSTER-IP 10.96.0.20,tcp:80\n", "")},
         {Kind.MASQUERADE, Kind.VERDICT}),
        ({"ipsets": IPSETS.replace("add KUBE-LOOP-BACK 10.244.1.2,tcp:8080,10.244.1.2\n", "")},
         {Kind.HAIRPIN}),
        ({"ipsets": IPSETS.replace("add KUBE-HEALTH-CHECK-NODE-PORT 32000\n", "")},
         {Kind.HEALTH_CHECK_PORT}),
        ({"ipsets": ""}, {Kind.NOT_UNDERSTOOD, Kind.HEALTH_CHECK_PORT}),
        ({"nat": NAT.replace("! -s 10.244.0.0/16", "! -s 10.0.0.0/8")}, {Kind.MASQUERADE}),
        ({"nat": "-A PREROUTING -j ACCEPT"}, {Kind.MASQUERADE, Kind.HAIRPIN}),
    ],
)  # fmt: skip
def test_what_is_changed_is_seen(changes: dict, expected: set[Kind]) -> None:
    assert kinds(found(**changes)) == expected


@pytest.mark.parametrize(("scheduler", "differs"), [("", False), ("rr", False), ("lc", True)])
def test_the_scheduler_must_be_the_configured_one(scheduler: str, differs: bool) -> None:
    """Everything else is as the API asks, so nothing but the scheduler differs."""
    clients = clients_of(small.NODE, facts(mode="ipvs"), BOUND)
    texts = IpvsTexts(IP_VS, IPSETS, {4: small.save({"nat": NAT, "filter": FILTER})})
    expected = wanted(clients)
    differences = compare(expected, read_ipvs(texts, clients, expected, scheduler=scheduler))

    found = {(each.frontend, each.kind, each.found) for each in differences}
    wrong = {(each, Kind.WEIGHTS, "scheduler rr") for each in (WEB, VIP, NODE_PORT)}
    assert found == (wrong if differs else set())


def test_rules_of_the_legacy_variant_act_as_well() -> None:
    clients = clients_of(small.NODE, facts(mode="ipvs"), BOUND)
    rules = {4: small.save({"nat": NAT, "filter": FILTER})}
    expected = wanted(clients)
    empty = {4: small.save({"nat": ""})}
    for usual, legacy in (({}, rules), (empty, rules), (rules, empty)):
        texts = IpvsTexts(IP_VS, IPSETS, usual, legacy=legacy)
        assert not compare(expected, read_ipvs(texts, clients, expected)).items


@pytest.mark.parametrize(
    "server",
    ["UDP  0A60001E:0035 rr\n", "TCP  0A600014:0050 rr persistent 2700000 FFFFFFFF\n"],
    ids=["without session affinity", "with session affinity"],
)
def test_a_backend_that_was_removed_may_drain(server: str) -> None:
    draining = "  -> 0AF40309:0035      Masq    0      1          0         \n"
    assert server in IP_VS
    assert not found(ip_vs=IP_VS.replace(server, server + draining)).items


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (table_of([match(DADDR, WEB.address), DROP]), {Kind.VERDICT, Kind.BACKEND_MISSING}),
        (table_of([match(DADDR, WEB.address), DROP], hook="input", priority=0), {Kind.VERDICT}),
        (table_of([match(DADDR, WEB.address), DROP], hook="forward", priority=0), set()),
        (table_of([match(SADDR, "203.0.113.9"), DROP], hook="input", priority=0), set()),
        (recorded_table("crowdsec"), set()),
    ],
)
def test_tables_of_other_programs_come_first(table: NamedTable, expected: set[Kind]) -> None:
    """IPVS takes packets after the filters of the hook input."""
    differences = found(others=(table,))

    assert kinds(differences) <= expected
    assert bool(kinds(differences)) is bool(expected)
    assert {each.frontend for each in differences} <= {WEB}


def test_other_tick_rates_are_recognised() -> None:
    assert not found(ip_vs=IP_VS.replace("persistent 2700000", "persistent 10800000")).items
    assert not found(ip_vs=IP_VS.replace("persistent 2700000", "persistent 1080000")).items


def test_virtual_servers_of_others_are_left_alone() -> None:
    foreign = IP_VS + "TCP  0A630001:0050 rr \n"
    assert kinds(found(ip_vs=foreign)) == {Kind.FRONTEND_STALE}
    clients = clients_of(small.NODE, facts(mode="ipvs"), BOUND)
    texts = IpvsTexts(foreign, IPSETS, {4: small.save({"nat": NAT, "filter": FILTER})})
    read = read_ipvs(texts, clients, wanted(clients), [network("10.99.0.0/16")])
    assert not [each for each in read.entries if each.address == "10.99.0.1"]


def test_an_empty_file_is_not_what_the_kernel_shows() -> None:
    with pytest.raises(ParseError):
        found(ip_vs="")


def test_health_checks_that_are_dropped_first_are_seen() -> None:
    accept = "-A KUBE-NODE-PORT -m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst -j ACCEPT"
    assert accept in FILTER
    dropping = f"{accept.replace('ACCEPT', 'DROP')}\n    {accept}"
    assert kinds(found(tables=FILTER.replace(accept, dropping))) == {Kind.HEALTH_CHECK_PORT}
