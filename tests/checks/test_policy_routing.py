"""Rules for source addresses, on clusters of several CNI plugins."""

from __future__ import annotations

import msgspec
import pytest

from tests.checks.small_cluster import HOST, SmallCluster, api_pod
from tests.network.clusters.aws_vpc import aws_vpc
from tests.network.clusters.calico import calico_bgp
from tests.network.clusters.cilium import cilium
from wirecheck.catalogue.findings import FactMissingError, Finding
from wirecheck.snapshot.netns import Route, Rule

LOCAL, MAIN = Rule(4, 0, 255), Rule(4, 32766, 254)
OWN = "192.0.2.1/32"
DEFAULT_ONLY = Route(4, "default", gateway="192.0.2.254", index=2, table=30400)


def add(small: SmallCluster, *routes: Route, rules: list[Rule]) -> None:
    host = small.document.namespaces[0]
    small.change_netns(HOST, routes=[*host.routes, *routes], rules=[LOCAL, *rules, MAIN])


def certain(small: SmallCluster) -> list[Finding]:
    """The findings, without pods of which it is not known which interface has their address."""
    return [each for each in small.findings("routes.policy_routing") if not each.inconclusive]


def found(small: SmallCluster) -> list[tuple[str, str]]:
    return [(each.subject.part or each.subject.name, each.found) for each in certain(small)]


def test_a_rule_for_the_nodes_own_source_diverts_what_it_sends_to_its_pods(small):
    calico_bgp(small)
    add(small, DEFAULT_ONLY, rules=[Rule(4, 30400, 30400, source=OWN)])

    ((part, text),) = found(small)
    assert part == "IPv4 rule 30400"
    assert text == (
        "30400: from 192.0.2.1/32 lookup 30400: with source 192.0.2.1 by default via 192.0.2.254 "
        "dev ens3 table 30400"
    )


def test_a_pod_of_another_node_alone_is_enough(small):
    calico_bgp(small)
    for pod in small.api["pods"][:2]:
        pod["status"]["phase"] = "Succeeded"
    there = api_pod("there", "shop", "192.168.55.7")
    there["spec"]["nodeName"] = "n2"
    small.api["pods"].append(there)
    add(small, DEFAULT_ONLY, rules=[Rule(4, 30400, 30400, source=OWN)])

    (finding,) = certain(small)
    assert "Pod shop/there 192.168.55.7 by 192.168.55.0/26 via 192.0.2.2" in finding.expected


@pytest.mark.parametrize("action", ["unreachable", "prohibit", "blackhole"])
def test_a_rule_that_refuses_the_nodes_own_source_is_found(small, action):
    calico_bgp(small)
    add(small, rules=[Rule(4, 100, 0, source=OWN, action=action)])

    ((_, text),) = found(small)
    assert text.endswith(f"by {action} by routing rule 100")


@pytest.mark.parametrize(
    "rules",
    [
        [Rule(4, 30350, 254), Rule(4, 30400, 30400, source=OWN)],
        [Rule(4, 30350, 254, suppress_prefix=0), Rule(4, 30400, 30400, source=OWN)],
        [Rule(4, 512, 254, destination="192.168.0.0/16"), Rule(4, 30400, 30400, source=OWN)],
        [Rule(4, 30400, 30400, source="198.51.100.1/32")],
        [Rule(4, 30400, 30400, source=OWN, mark="0x1")],
        [Rule(4, 30400, 30400, source=OWN, other_selectors=["uidrange"])],
        [Rule(4, 30400, 99, source=OWN)],
    ],
    ids=["30350", "30350 as recorded now", "for pods", "another", "marked", "a user", "empty"],
)
def test_rules_that_divert_nothing_are_right(small, rules):
    calico_bgp(small)
    add(small, DEFAULT_ONLY, rules=rules)

    assert found(small) == []


def test_a_table_with_the_routes_to_pods_is_right(small):
    calico_bgp(small)
    copied = [
        Route(4, each.destination, table=30400, gateway=each.gateway, index=each.index)
        for each in small.document.namespaces[0].routes
        if each.type == "unicast"
    ]
    add(small, *copied, rules=[Rule(4, 30400, 30400, source=OWN)])

    assert found(small) == []


def on_the_overlay(small: SmallCluster) -> None:
    """As flannel sets it up: its device has an address, which packets to the tunnel get."""
    kept = [e for e in small.document.namespaces[0].routes if e.destination != "10.244.1.0/24"]
    tunnel = Route(
        4, "10.244.1.0/24", gateway="10.244.1.0", index=4, onlink=True, source="10.244.0.0"
    )
    small.change_netns(HOST, routes=[*kept, tunnel])


def test_connections_to_services_have_the_source_of_the_default_route(small):
    """kube-proxy translates the destination after the kernel has chosen the source."""
    on_the_overlay(small)
    add(small, DEFAULT_ONLY, rules=[Rule(4, 30400, 30400, source=OWN)])
    assert len(found(small)) == 1

    # Without a Service, packets to pods have the address of the bridge or of the tunnel.
    small.api["services"] = []
    assert found(small) == []


def test_a_proxy_that_translates_before_the_route_is_looked_up_is_right(small):
    cilium(small)
    add(small, DEFAULT_ONLY, rules=[Rule(4, 30400, 30400, source=OWN)])
    assert found(small) == []

    small.api["configMaps"] = []
    assert len(found(small)) == 1


def test_cilium_sends_to_its_pods_from_its_own_device(small):
    cilium(small)
    add(small, DEFAULT_ONLY, rules=[Rule(4, 30400, 30400, source=OWN)])
    assert found(small) == []

    add(small, rules=[Rule(4, 30400, 30400, source="10.0.0.10/32")])
    assert len(found(small)) == 1


class TestAws:
    """Pods of the second network card have a rule and a table."""

    def test_is_right_as_the_plugin_sets_it_up(self, small):
        aws_vpc(small)
        assert found(small) == []

    def test_packets_to_a_pod_of_the_same_node_need_the_rule_for_it(self, small):
        aws_vpc(small)
        rules = small.document.namespaces[0].rules
        small.change_netns(HOST, rules=[each for each in rules if each.priority != 512])

        (finding,) = certain(small)
        assert finding.key == "pods"
        assert finding.found == (
            "1536: from 192.0.2.72/32 lookup 2: with source 192.0.2.72 by default via 192.0.2.254 "
            "dev ens4 table 2"
        )

    @pytest.mark.parametrize("lost", [("default",), ("default", "192.0.2.254/32")])
    def test_a_table_without_a_default_route_is_found(self, small, lost):
        aws_vpc(small)
        routes = small.document.namespaces[0].routes
        kept = [e for e in routes if e.table != 2 or e.destination not in lost]
        small.change_netns(HOST, routes=kept)

        (finding,) = certain(small)
        assert (finding.subject.name, finding.found) == ("web", "none")
        assert "default route in table 2" in finding.expected

    def test_security_groups_send_packets_of_a_pod_by_their_own_device(self, small):
        aws_vpc(small)
        rules = [Rule(4, 10, 101, iif="eni0d7763web"), *small.document.namespaces[0].rules]
        own = Route(4, "default", gateway="192.0.2.254", index=3, table=101)
        small.change_netns(HOST, rules=rules, routes=[*small.document.namespaces[0].routes, own])
        assert found(small) == []


def test_rules_that_were_not_read_are_an_error(small):
    small.change_netns(HOST, rules=[])

    with pytest.raises(FactMissingError, match="no routing rule"):
        small.findings("routes.policy_routing")


@pytest.mark.parametrize(
    "rule",
    [
        Rule(4, 1500, 0, source="192.0.2.72/32", action="goto", goto=1536),
        Rule(4, 1500, 99, source="192.0.2.64/28"),
        Rule(4, 1500, 99, source="198.51.100.7/32"),
        Rule(4, 1500, 254, source="192.0.2.72/32"),
        Rule(4, 1500, 253, source="192.0.2.72/32"),
        Rule(4, 1500, 255, source="192.0.2.72/32"),
    ],
    ids=["no lookup", "a range", "no pod", "main", "default", "local"],
)
def test_other_rules_with_empty_tables_take_no_pod_away(small, rule):
    aws_vpc(small)
    host = small.document.namespaces[0]
    small.change_netns(HOST, rules=[*host.rules, rule])

    assert not list(small.node.policy_routing.empty_tables)


@pytest.mark.parametrize(
    ("rule", "is_empty"),
    [
        (Rule(4, 1500, 99, source="192.0.2.72/32"), True),
        (Rule(4, 1500, 99, source="192.0.2.72/32", destination="192.0.2.0/24"), True),
        # Table 7 has a route to that destination only, as the rule asks.
        (Rule(4, 1500, 7, source="192.0.2.72/32", destination="192.0.2.0/24"), False),
        (Rule(4, 1500, 7, source="192.0.2.72/32"), True),
        (Rule(4, 1500, 99, source="192.0.2.72/32", mark="0x1"), False),
    ],
)
def test_the_table_of_a_rule_for_a_pod_leads_somewhere(small, rule, is_empty):
    aws_vpc(small)
    host = small.document.namespaces[0]
    narrow = Route(4, "192.0.2.0/24", table=7, index=3)
    small.change_netns(HOST, rules=[*host.rules, rule], routes=[*host.routes, narrow])

    found = [(pod.name, each.table) for pod, each in small.node.policy_routing.empty_tables]
    assert found == ([("web", rule.table)] if is_empty else [])


class TestPodsOfOneNode:
    """The rule of the second card's pod, where those for packets to pods are gone."""

    @pytest.fixture
    def lost(self, small):
        aws_vpc(small)
        rules = small.document.namespaces[0].rules
        small.change_netns(HOST, rules=[each for each in rules if each.priority != 512])
        return small

    def test_the_first_diverted_packet_names_both_pods(self, lost):
        (finding,) = certain(lost)
        assert finding.expected.startswith("Pod shop/web sends to Pod kube-system/dns 192.0.2.71")

    def test_a_rule_for_the_pods_own_device_comes_first(self, lost):
        rules = lost.document.namespaces[0].rules
        for device, number in (("eni0d7763web", 0), ("eni0d7763dns", 1)):
            own = Rule(4, 100, 254, iif=device)
            lost.change_netns(HOST, rules=[*rules, own])
            assert len(found(lost)) == number

    def test_a_pod_alone_on_its_node_sends_to_no_other(self, lost):
        lost.api["pods"][0]["status"]["phase"] = "Succeeded"
        assert found(lost) == []

    def test_a_table_with_a_more_specific_route_to_the_pod_is_right(self, lost):
        host = lost.document.namespaces[0]
        main = [e for e in host.routes if e.destination != "192.0.2.71/32"]
        wide = Route(4, "192.0.2.64/28", index=2)
        narrow = next(e for e in host.routes if e.destination == "192.0.2.71/32")
        own = msgspec.structs.replace(narrow, table=2)
        lost.change_netns(HOST, routes=[*main, wide, own])
        assert found(lost) == []
        lost.change_netns(HOST, routes=[*main, wide])
        assert len(found(lost)) == 1

    def test_a_plugin_that_needs_no_routes_diverts_nothing(self, lost):
        cilium(lost)
        assert found(lost) == []


@pytest.mark.parametrize("selector", ["iif", "oif", "mark"])
def test_a_rule_that_selects_more_than_the_source_is_for_other_packets(small, selector):
    aws_vpc(small)
    host = small.document.namespaces[0]
    rule = Rule(4, 1500, 99, source="192.0.2.72/32", **{selector: "0x1"})
    small.change_netns(HOST, rules=[*host.rules, rule])

    assert found(small) == []
