"""Third-party rules that refuse some clients by source do not fail every Service."""

import pytest

from tests.dataplane import small
from tests.dataplane.small import NAT, WEB, WEB_TABLE, endpoint, save, service, slice_of
from wirecheck.addresses import network
from wirecheck.dataplane.clients import clients_of, intervals
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Difference, Kind
from wirecheck.dataplane.expected.services import expected_table
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.table import Client
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.service import ServicePortSpec

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
