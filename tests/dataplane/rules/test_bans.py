"""Third-party rules that refuse some clients by source do not fail every Service."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from tests.dataplane import small
from tests.dataplane.small import NAT, WEB, WEB_TABLE, endpoint, save, service, slice_of
from wirecheck.addresses import network, number_of
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.clients import clients_of, intervals
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Difference, Kind
from wirecheck.dataplane.expected.services import expected_table
from wirecheck.dataplane.iptables.reader import read_iptables, ruleset_in
from wirecheck.dataplane.rules.bans import Ban, bans_of
from wirecheck.dataplane.rules.ruleset import packet_to
from wirecheck.dataplane.rules.steps import Packet
from wirecheck.dataplane.table import Client, Frontend
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.service import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    ServicePortSpec,
    ServiceStatus,
)

CLUSTER = {4: intervals(map(network, ("10.244.0.0/16", "172.31.0.10/32", "172.31.0.11/32")))}


def found_with(tables: dict[str, str], api: tuple = WEB_TABLE) -> list[Difference]:
    """The differences on a node whose cluster has the nodes 172.31.0.10 and 172.31.0.11."""
    services, slices = api
    facts = small.facts()
    clients = clients_of(small.NODE, facts, (), (), CLUSTER)
    index = small.index_of(ApiObjects(services=services, endpoint_slices=slices))
    wanted = expected_table(index, small.NODE, facts, clients)
    return list(compare(wanted, read_iptables({4: save(tables)}, clients, wanted.entries)))


@pytest.mark.parametrize("table", ["raw", "mangle"])
@pytest.mark.parametrize(
    "rules",
    [
        "-A PREROUTING -s 198.51.100.77/32 -j DROP",
        "-A PREROUTING -s 224.0.0.0/3 -j DROP\n-A PREROUTING -s 0.0.0.0/8 -j DROP",
        "-A PREROUTING -s 198.51.100.0/24 -i ens3 -j DROP",
        "-A PREROUTING -m set --match-set blocked src -j DROP",
        "-A PREROUTING -m geoip --source-country CN,RU -j DROP",
        "-A PREROUTING -j BLOCKED\n-A BLOCKED -s 203.0.113.0/24 -g LOG-DROP\n"
        "-A LOG-DROP -j LOG\n-A LOG-DROP -j DROP",
        "-A PREROUTING -s 198.51.100.7/32 -j MARK --set-xmark 0x1/0x1\n"
        "-A PREROUTING -m mark --mark 0x1/0x1 -j DROP",
        "-A PREROUTING -s 203.0.113.0/24 -d 10.96.0.20/32 -j DROP",
    ],
)
def test_a_banned_client_outside_the_cluster_is_no_fault_of_a_service(table, rules):
    assert found_with({table: rules, "nat": NAT}) == []


@pytest.mark.parametrize(
    ("source", "client"),
    [
        ("10.244.1.0/24", Client.POD),
        ("10.244.1.7/32", Client.POD),
        ("10.244.2.0/24", Client.REMOTE_POD),
        ("172.31.0.11/32", Client.OUTSIDE),
        ("172.16.0.0/12", Client.OUTSIDE),
    ],
)
def test_a_ban_of_pods_or_nodes_is_found_with_its_rule(source, client):
    rule = f"-A PREROUTING -s {source} -j DROP"
    found = found_with({"mangle": rule, "nat": NAT})

    assert {each.kind for each in found} <= {Kind.SOURCES, Kind.VERDICT}
    assert [each.evidence[0] for each in found if client in each.clients] == [rule]
    assert all(each.third_party for each in found)


def test_only_the_clusters_addresses_of_such_a_ban_count():
    wide = found_with({"mangle": "-A PREROUTING -s 172.16.0.0/12 -j DROP", "nat": NAT})
    narrow = found_with({"mangle": "-A PREROUTING -s 172.31.0.11/32 -j DROP", "nat": NAT})

    assert [each.clients for each in wide] == [(Client.OUTSIDE,)]
    assert [each.found for each in wide] == [each.found for each in narrow]


def test_a_rule_that_refuses_everybody_is_no_ban():
    found = found_with({"mangle": "-A PREROUTING -p tcp -j DROP", "nat": NAT})

    assert {each.kind for each in found} == {Kind.VERDICT}


def limited(range_: str) -> tuple:
    made = service(type="LoadBalancer", load_balancer_source_ranges=[range_])
    ingress = [LoadBalancerIngress(ip="192.0.2.200")]
    return [replace(made, status=ServiceStatus(LoadBalancerStatus(ingress)))], WEB_TABLE[1]


BALANCED = """
    -A KUBE-SERVICES -d 192.0.2.200/32 -p tcp -m tcp --dport 80 -j KUBE-FW-WEB
    -A KUBE-FW-WEB -s {} -j KUBE-EXT-WEB
    -A KUBE-FW-WEB -j DROP
    -A KUBE-EXT-WEB -j KUBE-MARK-MASQ
    -A KUBE-EXT-WEB -j KUBE-SVC-WEB
"""


@pytest.mark.parametrize(
    ("range_", "ban"),
    [
        ("198.51.100.0/24", "-s 203.0.113.0/24"),
        ("198.51.100.0/24", "-s 198.51.100.0/25"),
        # Whoever is not in the range is refused before the Service refuses him.
        ("198.51.100.0/24", "! -s 198.51.100.0/24"),
        ("172.31.0.0/24", "! -s 172.31.0.0/24"),
    ],
)
def test_a_ban_leaves_the_source_ranges_of_a_service_as_they_are(range_: str, ban: str):
    rules = {"raw": f"-A PREROUTING {ban} -j DROP", "nat": NAT + BALANCED.format(range_)}
    found = found_with(rules, limited(range_))
    outside = [each for each in found if Client.OUTSIDE in each.clients]

    assert [each for each in outside if each.frontend.address == "192.0.2.200"] == []


def test_source_ranges_of_a_service_are_still_compared():
    limited = service(
        type="LoadBalancer",
        ports=[ServicePortSpec(port=80, name="http", target_port="web", node_port=30080)],
    )
    api = ([limited], [slice_of(endpoint("10.244.1.2", "here"), endpoint("10.244.2.3"))])
    node_port = """
    -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
    -A KUBE-NODEPORTS -s 203.0.113.0/24 -p tcp -m tcp --dport 30080 -j KUBE-EXT-WEB
    -A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-FW-WEB
    -A KUBE-FW-WEB -j DROP
    -A KUBE-EXT-WEB -j KUBE-MARK-MASQ
    -A KUBE-EXT-WEB -j KUBE-SVC-WEB
    """
    ban = "-A PREROUTING -s 203.0.113.7/32 -j DROP"
    found = found_with({"mangle": ban, "nat": NAT + node_port}, api)

    (outside,) = [e for e in found if Client.OUTSIDE in e.clients and e.kind is Kind.SOURCES]
    assert outside.frontend.port == 30080
    assert outside.frontend != WEB


OTHER = Frontend(4, "10.96.0.30", "tcp", 443)
PACKETS = [packet_to(each, None, is_local=False) for each in (WEB, OTHER)]
TO_NODE = Packet(4, "172.31.0.10", number_of("172.31.0.10"), "tcp", 10250, is_local=True)


def bans(
    rules: str,
    table: str = "mangle",
    between: Sequence[Packet] = (),
    forwarded: Sequence[Packet] = (),
) -> list[Ban]:
    """The bans in these rules, of clients of two Services."""
    cache = ReaderCache()
    ruleset = ruleset_in(4, [cache.texts.iptables(save({table: rules}))], cache)
    return list(bans_of(ruleset, PACKETS, between, forwarded, ("POLICIES",)))


def test_a_ban_shows_its_rule_and_those_that_it_calls():
    first, second = bans(
        "-A PREROUTING -j BLOCKED\n-A BLOCKED -s 203.0.113.0/24 -j REFUSE\n"
        "-A REFUSE -j LOG\n-A REFUSE -j DROP\n-A PREROUTING -s 192.0.2.7/32 -j DROP"
    )
    assert first.rules == ("-A BLOCKED -s 203.0.113.0/24 -j REFUSE", "-A REFUSE -j DROP")
    assert first.rule == first.rules[0]
    assert second.rules == ("-A PREROUTING -s 192.0.2.7/32 -j DROP",)
    assert (first.family, first.base_chain, first.before_dnat) == (4, "PREROUTING", True)


@pytest.mark.parametrize(
    ("sources", "spans"),
    [
        ("-s 10.0.0.0/8", ["10.0.0.0/8"]),
        ("! -s 128.0.0.0/1", ["0.0.0.0/1"]),
        ("-i eth0", ["0.0.0.0/0"]),
        ("-s 10.0.0.0/8 -i eth0", ["10.0.0.0/8"]),
        ("-s 10.0.0.0/8 -m set --match-set x src", []),
    ],
)
def test_a_ban_is_of_the_addresses_in_all_its_ranges(sources: str, spans: list[str]):
    (found,) = bans(f"-A PREROUTING {sources} -j DROP")

    assert found.spans == intervals(map(network, spans))
    devices = ["eth0"] if "eth0" in sources else []
    assert [each.value for each in found.interfaces] == devices


def test_nested_ranges_are_cut_to_what_both_match():
    (found,) = bans("-A PREROUTING -s 10.0.0.0/8 -j TEN\n-A TEN -s 10.1.0.0/16 -j DROP")
    assert found.spans == intervals([network("10.1.0.0/16")])


BAN = "-s 192.0.2.7/32 -j DROP"


@pytest.mark.parametrize(
    ("before", "is_open"),
    [
        ("", True),
        ("-A PREROUTING -p tcp -j LOG", True),
        ("-A PREROUTING -p tcp -j ACCEPT", False),
        ("-A PREROUTING -p udp -j RETURN", False),
        ("-A PREROUTING -i lo -j ACCEPT", True),
        ("-A PREROUTING -m conntrack --ctstate ESTABLISHED -j ACCEPT", True),
        ("-A PREROUTING -j SOME\n-A SOME -p udp -j ACCEPT", False),
        ("-A PREROUTING -j SOME\n-A SOME -p udp -j RETURN", True),
        ("-A PREROUTING -j SOME\n-A SOME -m conntrack --ctstate ESTABLISHED -j ACCEPT", True),
        ("-A PREROUTING -j SOME\n-A SOME -j INNER\n-A INNER -p udp -j ACCEPT", False),
        ("-A PREROUTING -j SOME\n-A SOME -j INNER\n-A INNER -j SOME", True),
        ("-A PREROUTING -p udp -g SOME\n-A SOME -j LOG", False),
        ("-A PREROUTING -j MISSING", True),
    ],
)
def test_a_ban_behind_a_rule_that_may_accept_is_not_for_everything(before: str, is_open: bool):
    (found,) = bans(f"{before}\n-A PREROUTING {BAN}", between=[TO_NODE])

    assert found.is_open is is_open
    assert found.breaks == ((TO_NODE,) if is_open else ())


@pytest.mark.parametrize(("length", "is_open"), [(199, False), (200, True)])
def test_long_chains_are_taken_for_lists_that_accept_nothing(length: int, is_open: bool):
    lines = [
        f"-A SOME -s 192.0.2.9/32 -p udp -m udp --dport {each} -j LOG"
        for each in range(1, length + 1)
    ]
    rules = "\n".join(["-A PREROUTING -j SOME", *lines, "-A SOME -p udp -j ACCEPT"])

    (found,) = bans(f"{rules}\n-A PREROUTING {BAN}")

    assert found.is_open is is_open


@pytest.mark.parametrize(
    ("conditions", "is_for_services", "breaks"),
    [
        ("", True, True),
        ("-p tcp", True, True),
        ("-p tcp -m tcp --dport 80", True, False),
        ("-d 10.96.0.20/32", True, False),
        ("-p tcp -m tcp --dport 10250", False, True),
    ],
)
def test_a_ban_is_for_services_or_for_packets_between_nodes(
    conditions: str, is_for_services: bool, breaks: bool
):
    rule = f"-A PREROUTING -s 192.0.2.7/32 {conditions} -j DROP".replace("  ", " ")
    (found,) = bans(rule, between=[TO_NODE])

    assert found.is_for_services is is_for_services
    assert found.breaks == ((TO_NODE,) if breaks else ())
    assert found.is_open is (not conditions)


@pytest.mark.parametrize(
    "rules",
    [
        "-A PREROUTING -j DROP",
        "-A PREROUTING -s 192.0.2.7/32 -j LOG",
        "-A PREROUTING -s 192.0.2.7/32 -p udp -j DROP",
        "-A PREROUTING -s 192.0.2.7/32 -d 10.96.0.99/32 -j DROP",
        "-A PREROUTING -s 192.0.2.7/32 -m mark --mark 0x1/0x1 -j DROP",
        "-A PREROUTING -s 192.0.2.7/32 -m conntrack --ctstate ESTABLISHED -j DROP",
        "-A PREROUTING -s 192.0.2.7/32 -j KUBE-FIREWALL\n-A KUBE-FIREWALL -j DROP",
        "-A PREROUTING -s 192.0.2.7/32 -j MISSING",
        "-A PREROUTING -p tcp -j ACCEPT\n-A PREROUTING -i eth0 -j DROP",
        "-A PREROUTING ! -i lo -j DROP",
        "-A PREROUTING -m hashlimit --hashlimit-above 9/sec --hashlimit-name x "
        "--hashlimit-mode srcip -j DROP",
        "-A PREROUTING -m string --string x --algo bm -j DROP",
    ],
)
def test_what_refuses_no_source_or_no_client_of_a_service_is_no_ban(rules: str):
    assert bans(rules) == []


def test_what_lets_some_sources_pass_before_a_rule_for_all_is_a_ban_of_the_rest():
    for action in ("ACCEPT", "RETURN"):
        (found,) = bans(f"-A PREROUTING -s 10.0.0.0/8 -j {action}\n-A PREROUTING -j DROP")
        assert found.rules == ("-A PREROUTING -j DROP",)
    assert bans("-A PREROUTING -s 10.0.0.0/8 -j LOG\n-A PREROUTING -j DROP") == []


def test_filters_of_the_node_are_searched_for_bans_of_its_own_packets():
    (found,) = bans(f"-A INPUT {BAN}", "filter", [TO_NODE])

    assert (found.base_chain, found.before_dnat) == ("INPUT", False)
    assert bans("-A INPUT -i eth0 -j DROP", "filter", [TO_NODE]) == []
    assert bans(f"-A FORWARD {BAN}", "filter", [TO_NODE]) == []


TO_POD = Packet(4, "10.244.1.2", number_of("10.244.1.2"), "tcp", -1, is_local=False)


@pytest.mark.parametrize(
    ("rules", "number"),
    [
        (f"-A FORWARD {BAN}", 1),
        (f"-A FORWARD -j DOCKER-USER\n-A DOCKER-USER {BAN}\n-A DOCKER-USER -j RETURN", 1),
        ("-A FORWARD -s 192.0.2.7/32 -d 10.244.0.0/16 -j REJECT", 1),
        ("-A FORWARD -s 192.0.2.7/32 -d 172.17.0.0/16 -j REJECT", 0),
        ("-A FORWARD -m geoip --source-country CN,RU -j DROP", 1),
        # Programs write one list for both ways.
        (f"-A INPUT {BAN}\n-A FORWARD {BAN}", 1),
        (f"-A FORWARD -j POLICIES-OF-PODS\n-A POLICIES-OF-PODS {BAN}", 0),
        # A VPN protects its own device.
        ("-A FORWARD -s 100.64.0.0/10 -o tailscale0 -j DROP", 0),
        ("-A FORWARD -i docker0 -j DROP", 0),
        ("-A FORWARD -j DROP", 0),
        ("-A FORWARD -s 192.0.2.7/32 -m mark --mark 0x1/0x1 -j DROP", 0),
    ],
)
def test_filters_of_forwarded_packets_are_searched_for_bans(rules: str, number: int):
    assert len(bans(rules, "filter", [TO_NODE], [TO_POD])) == number


EMPTY = ([service()], [])


@pytest.mark.parametrize(
    "rules",
    [
        "-A FORWARD -s 203.0.113.0/24 -j DROP",
        "-A FORWARD -s 10.244.1.7/32 -j DROP",
        # These are for all clients of a kind.
        "-A FORWARD -s 10.244.1.0/24 -j DROP",
        "-A FORWARD -s 10.0.0.0/8 -j DROP",
        "-A OUTPUT -m owner --uid-owner 0 -j DROP",
        "-A OUTPUT -m owner --uid-owner 1000 -j DROP",
        "-A FORWARD -m mark --mark 0x0/0x1 -j DROP",
        "-A FORWARD ! -i lo -m mark ! --mark 0x10000/0x10000 -j REJECT",
    ],
)
def test_what_a_service_without_endpoints_refuses_may_be_refused_before(rules: str):
    refuse = "\n".join(
        f"-A {hook} -d 10.96.0.20/32 -p tcp -m tcp --dport 80 -j KUBE-SERVICES"
        for hook in ("FORWARD", "OUTPUT")
    )
    reject = "-A KUBE-SERVICES -j REJECT --reject-with icmp-port-unreachable"

    assert found_with({"filter": f"{rules}\n{refuse}\n{reject}"}, EMPTY) == []


def test_a_rule_for_the_service_itself_that_drops_its_connections_is_found():
    rule = "-A FORWARD -d 10.96.0.20/32 -j DROP"
    found = found_with({"filter": rule}, EMPTY)

    assert Kind.VERDICT in {each.kind for each in found}
    assert any(each.third_party and each.evidence == (rule,) for each in found)


def test_a_rule_that_several_hooks_meet_is_one_ban():
    rules = f"-A PREROUTING -j BLOCKED\n-A PREROUTING -j BLOCKED\n-A BLOCKED {BAN}"

    assert len(bans(rules)) == 1


def test_chains_are_followed_as_deep_as_rules_nest():
    def nested(depth: int) -> str:
        lines = [f"-A C{each} -j C{each + 1}" for each in range(1, depth)]
        return "\n".join(["-A PREROUTING -j C1", *lines, f"-A C{depth} {BAN}"])

    assert len(bans(nested(16))) == 1
    assert bans(nested(17)) == []
