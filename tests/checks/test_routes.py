"""The checks of routes, each on a cluster where one thing is broken."""

import pytest

from tests.checks.small_cluster import HOST, WEB_NETNS, SmallCluster, api_pod, link
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.catalogue.registry import load
from wirecheck.catalogue.remedies import filled
from wirecheck.snapshot.netns import Address, Route, Rule

NO_BLACKHOLES = next(check for check in load() if check.id == "routes.no_blackholes")


def host_routes(small: SmallCluster) -> list[Route]:
    return list(small.document.namespaces[0].routes)


def with_routes(small: SmallCluster, *more: Route, without: str = "") -> None:
    kept = [each for each in host_routes(small) if each.destination != without]
    small.change_netns(HOST, routes=[*kept, *more])


def without_flannel(small: SmallCluster) -> None:
    del small.api["pods"][2]
    for each in small.api["nodes"]:
        each["metadata"]["annotations"] = {}


def found(small: SmallCluster, check: str) -> list[tuple[str, str]]:
    return [(each.subject.part, each.found) for each in small.findings(f"routes.{check}")]


def test_a_missing_route_to_a_node_is_found(small):
    with_routes(small, without="10.244.1.0/24")

    assert found(small, "to_every_node") == [
        ("route to 10.244.1.0/24", "default via 192.0.2.254 dev ens3")
    ]


def test_a_node_without_any_route_is_found(small):
    small.change_netns(HOST, routes=[])

    assert found(small, "to_every_node") == [("route to 10.244.1.0/24", "no route")]


@pytest.mark.parametrize(
    "route",
    [
        Route(4, "10.244.1.0/24", gateway="192.0.2.254", index=2),
        Route(4, "10.244.1.0/24", index=5),
        Route(4, "10.244.1.0/24", gateway="10.244.9.0", index=4, onlink=True),
        Route(4, "10.244.1.0/24", gateway="10.244.1.0", index=4),
        Route(4, "10.244.1.0/24", index=4, onlink=True),
        Route(4, "10.244.1.0/24", gateway="10.244.1.0", index=5, onlink=True),
        Route(4, "10.244.1.0/24", type="blackhole"),
    ],
    ids=[
        "by the router",
        "on the bridge",
        "to another node",
        "not onlink",
        "without a gateway",
        "by the bridge",
        "blackhole",
    ],
)
def test_a_route_that_goes_elsewhere_is_found(small, route):
    with_routes(small, route, without="10.244.1.0/24")

    assert len(found(small, "to_every_node")) == 1


def test_the_route_with_the_lower_metric_is_the_one_that_is_taken(small):
    with_routes(small, Route(4, "10.244.1.0/24", gateway="192.0.2.9", index=2, metric=50))
    assert not found(small, "to_every_node")


@pytest.mark.parametrize("backend", ["vxlan", "host-gw"])
def test_a_direct_route_to_the_node_is_right(small, backend):
    for each in small.api["nodes"]:
        each["metadata"]["annotations"]["flannel.alpha.coreos.com/backend-type"] = backend
    with_routes(
        small,
        Route(4, "10.244.1.0/24", gateway="192.0.2.2", index=2),
        without="10.244.1.0/24",
    )
    assert not found(small, "to_every_node")


@pytest.mark.parametrize(
    ("onlink", "is_right"), [(True, True), (False, False)], ids=["onlink", "not onlink"]
)
def test_the_gateway_on_the_overlay_may_be_any_address_of_the_peers_range(small, onlink, is_right):
    route = Route(4, "10.244.1.0/24", gateway="10.244.1.1", index=4, onlink=onlink)
    with_routes(small, route, without="10.244.1.0/24")

    assert (not found(small, "to_every_node")) is is_right


def test_another_table_that_a_rule_asks_first_counts(small):
    rules = [Rule(4, 100, 7), Rule(4, 32766, 254)]
    wrong = Route(4, "10.244.0.0/16", table=7, gateway="192.0.2.254", index=2)
    small.change_netns(HOST, routes=[*host_routes(small), wrong], rules=rules)
    assert len(found(small, "to_every_node")) == 1

    small.change_netns(HOST, rules=[Rule(4, 100, 7, mark="0x80"), rules[1]])
    assert not found(small, "to_every_node")


def test_a_node_that_flannel_does_not_know_yet_is_not_evaluated(small):
    del small.api["nodes"][1]["metadata"]["annotations"]
    small.api["nodes"].append(small.api["nodes"][0] | {"metadata": {"name": "n3"}})
    third = {"name": "n3", "annotations": small.api["nodes"][0]["metadata"]["annotations"]}
    small.api["nodes"][2] = {"metadata": third}
    with_routes(small, without="10.244.1.0/24")

    assert not found(small, "to_every_node")


def test_ranges_that_the_cloud_routes_are_not_evaluated(small):
    without_flannel(small)
    with_routes(small, without="10.244.1.0/24")

    with pytest.raises(NotApplicable, match="outside of the nodes"):
        small.findings("routes.to_every_node")


def test_pools_of_the_plugins_own_are_not_evaluated(small):
    owner = {"kind": "DaemonSet", "name": "calico-node", "controller": True}
    small.api["pods"][2]["metadata"]["ownerReferences"] = [owner]

    with pytest.raises(NotApplicable, match="Calico"):
        small.findings("routes.to_every_node")


@pytest.mark.parametrize("part", ["10.244.1.0/25", "10.244.1.128/25"])
def test_a_narrower_route_that_goes_elsewhere_is_found(small, part):
    with_routes(small, Route(4, part, gateway="192.0.2.254", index=2))

    assert found(small, "not_shadowed") == [
        (f"route to {part}", f"{part} via 192.0.2.254 dev ens3")
    ]
    assert not found(small, "to_every_node")


def test_a_narrower_route_through_the_same_device_is_not(small):
    with_routes(small, Route(4, "10.244.1.7/32", gateway="10.244.1.0", index=4, onlink=True))
    assert not found(small, "not_shadowed")


@pytest.mark.parametrize(
    ("range_", "owner"),
    [("10.244.1.0/24", "the pods of n2"), ("10.96.0.0/16", "Service default/kubernetes")],
)
def test_a_bridge_in_a_network_of_the_cluster_is_found(small, range_, owner):
    docker = link(6, "docker0", "bridge")
    host = small.document.namespaces[0]
    address = Address(6, range_.replace(".0/", ".7/").partition("/")[0], int(range_[-2:]))
    small.change_netns(HOST, links=[*host.links, docker], addresses=[*host.addresses, address])
    with_routes(small, Route(4, range_, index=6, scope="link", protocol=2))

    ((part, text),) = found(small, "no_overlap")
    assert part == f"docker0 {range_}"
    assert owner in text


@pytest.mark.parametrize(
    ("range_", "refused"),
    [
        ("10.96.0.0/12", {"to default/kubernetes 10.96.0.1", "to kube-system/kube-dns 10.96.0.10"}),
        ("10.96.0.10/32", {"to kube-system/kube-dns 10.96.0.10"}),
        ("10.244.0.2/32", {"to 10.244.0.2"}),
        ("10.244.0.0/16", set()),
    ],
    ids=["Services", "one Service", "a DNS replica", "wider than what leads on"],
)
def test_a_blackhole_is_found_where_it_is_what_packets_meet(small, range_, refused):
    with_routes(small, Route(4, range_, type="blackhole"))

    assert {part for part, _ in found(small, "no_blackholes")} == refused


def test_a_table_that_a_rule_asks_for_one_service_alone_counts_for_that_one(small):
    rule = Rule(4, 100, 7, destination="10.96.0.10/32")
    with_routes(small, Route(4, "default", table=7, type="blackhole"))
    small.change_netns(HOST, rules=[rule, Rule(4, 200, 254)])

    assert {part for part, _ in found(small, "no_blackholes")} == {
        "to kube-system/kube-dns 10.96.0.10"
    }


@pytest.mark.parametrize(
    ("rule", "table", "is_refused"),
    [
        (Rule(4, 100, 0, action="prohibit", iif="cni0"), None, True),
        (Rule(4, 100, 0, action="unreachable", iif="cni0"), None, True),
        (Rule(4, 100, 0, action="blackhole", iif="cni0", destination="10.244.0.0/23"), None, True),
        (Rule(4, 100, 7, iif="cni0"), Route(4, "default", table=7, type="blackhole"), True),
        (Rule(4, 100, 0, action="prohibit", iif="cni0", destination="169.254.0.0/16"), None, False),
        (Rule(4, 100, 0, action="prohibit", iif="ens9"), None, False),
        (Rule(4, 100, 0, action="prohibit", iif="cni0", mark="0x1/0x1"), None, False),
        (Rule(4, 32767, 0, action="prohibit", iif="cni0"), None, False),
        (Rule(4, 100, 7, iif="cni0"), Route(4, "default", table=7, gateway="192.0.2.254"), False),
    ],
)
def test_a_rule_that_refuses_what_comes_from_the_device_of_a_pod(small, rule, table, is_refused):
    with_routes(small, *([table] if table else []))
    small.change_netns(HOST, rules=[Rule(4, 0, 255), rule, Rule(4, 32766, 254)])

    refused = found(small, "no_blackholes")
    assert [part for part, _ in refused] == [
        "from Pod kube-system/dns to the pods of n2 10.244.1.0",
        "from Pod shop/web to the pods of n2 10.244.1.0",
    ] * is_refused
    if is_refused:
        (first, *_) = small.findings("routes.no_blackholes")
        assert dict(first.names)["address"] == "10.244.1.0 from 10.244.0.2 iif cni0"
        show = filled(NO_BLACKHOLES.remedy, dict(first.names))
        assert "`ip -4 route get 10.244.1.0 from 10.244.0.2 iif cni0`" in show


def test_pods_of_one_bridge_reach_each_other_without_routing(small):
    small.api["nodes"].pop()
    rules = [Rule(4, 0, 255), Rule(4, 9, 0, action="prohibit", iif="cni0"), Rule(4, 32766, 254)]
    small.change_netns(HOST, rules=rules)

    assert found(small, "no_blackholes") == []


def test_a_node_without_a_default_route_has_none_to_services(small):
    with_routes(small, without="default")
    assert {text for _, text in found(small, "no_blackholes")} == {"no route"}


def test_services_that_the_node_has_itself_need_no_route(small):
    host = small.document.namespaces[0]
    links = [*host.links, link(9, "kube-ipvs0", "dummy")]
    carried = [Address(9, each, 32) for each in ("10.96.0.1", "10.96.0.10")]
    small.change_netns(HOST, links=links, addresses=[*host.addresses, *carried])
    with_routes(small, without="default")

    assert not found(small, "no_blackholes")


def test_a_pod_without_a_default_route_is_found(small):
    small.change_netns(WEB_NETNS, routes=[Route(4, "10.244.0.0/16", gateway="10.244.0.1", index=2)])

    (finding,) = small.findings("routes.pod_default_route")
    assert (finding.subject.name, finding.expected) == ("web", "a route to 10.96.0.10")


def test_a_route_to_services_alone_will_do_for_a_pod(small):
    small.change_netns(WEB_NETNS, routes=[Route(4, "10.96.0.0/12", gateway="10.244.0.1", index=2)])
    assert not small.findings("routes.pod_default_route")


def test_a_pod_that_lost_its_address_is_left_to_the_check_of_addresses(small):
    small.change_netns(WEB_NETNS, routes=[], addresses=[])
    assert not small.findings("routes.pod_default_route")


class TestOwnAddresses:
    CHECK = "local_table_first"
    MAIN = Rule(4, 32766, 254)

    def test_a_node_without_the_local_rule_is_found(self, small):
        small.change_netns(HOST, rules=[self.MAIN, Rule(6, 0, 255)])

        assert found(small, self.CHECK) == [
            ("IPv4 rules", "for 10.244.0.1 no rule looks up table local")
        ]

    def test_a_family_that_nothing_uses_is_not_evaluated(self, small):
        small.change_netns(HOST, rules=[Rule(4, 0, 255), self.MAIN])
        assert found(small, self.CHECK) == []

        addresses = [*small.document.namespaces[0].addresses, Address(2, "fd00::1", 64)]
        small.change_netns(HOST, addresses=addresses)
        small.api["pods"][1]["status"]["podIPs"].append({"ip": "fd00::3"})
        assert found(small, self.CHECK) == [
            ("IPv6 rules", "for fd00::1 no rule looks up table local")
        ]

    def test_a_local_rule_that_was_moved_is_right_where_it_still_comes_first(self, small):
        small.change_netns(HOST, rules=[Rule(4, 100, 255), self.MAIN])

        assert found(small, self.CHECK) == []

    @pytest.mark.parametrize(
        ("rule", "text"),
        [
            (Rule(4, 50, 254), "50: from all lookup main"),
            (Rule(4, 50, 77, source="10.0.0.0/8"), "50: from 10.0.0.0/8 lookup 77"),
            (Rule(4, 50, 0, action="prohibit"), "50: from all prohibit"),
            (
                Rule(4, 50, 77, destination="10.244.0.0/16"),
                "50: from all to 10.244.0.0/16 lookup 77",
            ),
        ],
    )
    def test_a_rule_that_comes_before_it_and_has_a_route_is_found(self, small, rule, text):
        with_routes(small, Route(4, "default", gateway="192.0.2.9", index=2, table=77))
        small.change_netns(HOST, rules=[rule, Rule(4, 100, 255), self.MAIN])

        assert found(small, self.CHECK) == [
            ("IPv4 rules", f"for 10.244.0.1 {text} comes before table local")
        ]

    @pytest.mark.parametrize(
        "rule",
        [
            Rule(4, 9, 77, mark="0x200/0xf00"),
            Rule(4, 9, 77, iif="ens4"),
            Rule(4, 9, 88),
            Rule(4, 9, 77, destination="203.0.113.0/24"),
            Rule(4, 9, 77, mark="0x1", action="lookup (not)"),
        ],
        ids=["for a mark", "for a device", "an empty table", "for others", "for all but a mark"],
    )
    def test_rules_that_divert_nothing_may_come_first(self, small, rule):
        with_routes(small, Route(4, "default", gateway="192.0.2.9", index=2, table=77))
        small.change_netns(HOST, rules=[rule, Rule(4, 100, 255), self.MAIN])

        assert found(small, self.CHECK) == []

    def test_rules_that_were_not_seen_are_an_error(self, small):
        small.change_netns(HOST, rules=[])

        with pytest.raises(FactMissingError, match="no routing rule"):
            small.findings("routes.local_table_first")


@pytest.mark.parametrize(
    ("backend", "kind", "is_right"),
    [
        ("wireguard", "wireguard", True),
        ("wireguard", "vxlan", False),
        ("ipip", "ipip", True),
        ("ipip", "wireguard", False),
        ("udp", "tun", True),
        ("host-gw", "vxlan", False),
        ("vxlan", "wireguard", False),
        ("extension", "wireguard", True),
    ],
)
def test_a_tunnel_of_another_kind_than_the_backends_is_a_remnant(small, backend, kind, is_right):
    for node in small.api["nodes"]:
        node["metadata"]["annotations"]["flannel.alpha.coreos.com/backend-type"] = backend
    small.change_link(HOST, "flannel.1", kind=kind)

    found = [each.found for each in small.findings("routes.to_every_node")]
    assert found == ([] if is_right else ["10.244.1.0/24 via 10.244.1.0 dev flannel.1"])


@pytest.mark.parametrize("backend", ["ipsec", "extension"])
def test_a_backend_that_may_add_no_routes_is_not_evaluated(small, backend):
    for node in small.api["nodes"]:
        node["metadata"]["annotations"]["flannel.alpha.coreos.com/backend-type"] = backend
    with_routes(small, without="10.244.1.0/24")

    with pytest.raises(NotApplicable):
        small.findings("routes.to_every_node")


def test_one_route_of_an_unknown_plugin_for_all_nodes_is_not_evaluated(small):
    without_flannel(small)
    with_routes(small, Route(4, "10.244.0.0/16", index=2), without="10.244.1.0/24")

    with pytest.raises(NotApplicable, match="outside of the nodes"):
        small.findings("routes.to_every_node")


def test_pods_outside_of_their_nodes_ranges_show_an_unknown_plugin_with_pools(small):
    without_flannel(small)
    small.api["pods"][1]["status"] |= {"podIP": "10.99.0.3", "podIPs": [{"ip": "10.99.0.3"}]}

    with pytest.raises(NotApplicable, match="does not assign addresses"):
        small.findings("routes.to_every_node")


def remedies_of_blackholes(small) -> set[str]:
    return {
        filled(each.remedy or NO_BLACKHOLES.remedy, {"node": "n1", **dict(each.names)})
        for each in small.findings("routes.no_blackholes")
    }


def test_the_remedy_for_a_route_deletes_no_rule(small):
    """`ip rule del pref 0` would delete the rule of the local table."""
    with_routes(small, Route(4, "10.244.1.0/24", type="blackhole"), without="10.244.1.0/24")

    (remedy,) = remedies_of_blackholes(small)
    assert "`ip -4 route del blackhole 10.244.1.0/24 table 254`" in remedy
    assert "rule" not in remedy


def test_the_remedy_for_a_rule_deletes_no_route(small):
    rule = Rule(4, 9, 0, destination="10.244.1.0/24", action="prohibit")
    small.change_netns(HOST, rules=[Rule(4, 0, 255), rule, Rule(4, 32766, 254)])

    (remedy,) = remedies_of_blackholes(small)
    assert "`ip -4 rule del pref 9`" in remedy
    assert "route del" not in remedy


def test_where_nothing_routes_nothing_is_deleted(small):
    with_routes(small, without="default")

    for remedy in remedies_of_blackholes(small):
        assert "`ip -4 route show table all`" in remedy
        assert " del " not in remedy


def refused_senders(small: SmallCluster, *more: dict, rule: Rule) -> list[str]:
    """The parts of blackholes from the pods, beside further pods in the API."""
    small.api["pods"].extend(more)
    rules = [Rule(4, 0, 255), rule, Rule(4, 32766, 254)]
    small.change_netns(HOST, rules=rules)
    return [part for part, _ in found(small, "no_blackholes") if part.startswith("from")]


def test_a_pod_of_another_node_is_named_before_its_range(small):
    there = api_pod("there", "shop", "10.244.1.9")
    there["spec"]["nodeName"] = "n2"
    rule = Rule(4, 100, 0, action="prohibit", iif="cni0")

    assert refused_senders(small, there, rule=rule) == [
        "from Pod kube-system/dns to shop/there 10.244.1.9",
        "from Pod shop/web to shop/there 10.244.1.9",
    ]


@pytest.mark.parametrize("hidden", [{"phase": "Succeeded"}, None])
def test_pods_without_a_network_of_their_own_are_no_targets(small, hidden):
    there = api_pod("there", "shop", "10.244.1.9")
    there["spec"]["nodeName"] = "n2"
    if hidden:
        there["status"] |= hidden
    else:
        there["spec"]["hostNetwork"] = True
    rule = Rule(4, 100, 0, action="prohibit", iif="cni0", destination="10.244.1.9/32")

    assert refused_senders(small, there, rule=rule) == []


def test_pods_that_have_ended_or_are_on_the_host_network_send_nothing(small):
    small.api["pods"][0]["status"]["phase"] = "Succeeded"
    rule = Rule(4, 100, 0, action="prohibit", iif="cni0")

    assert refused_senders(small, rule=rule) == ["from Pod shop/web to the pods of n2 10.244.1.0"]
    small.api["pods"][1]["spec"]["hostNetwork"] = True
    assert refused_senders(small, rule=rule) == []


def test_eight_pods_are_reported_for_one_rule(small):
    more = [api_pod(f"p{number}", "shop", f"10.244.0.{number}") for number in range(10, 20)]
    rule = Rule(4, 100, 0, action="prohibit", iif="cni0")

    assert len(refused_senders(small, *more, rule=rule)) == 8


def test_a_pod_without_a_device_on_the_node_is_left_out(small):
    """Its address is the node's own, or has no route."""
    lost = api_pod("a", "kube-system", "192.0.2.1")
    rule = Rule(4, 100, 0, action="prohibit", iif="cni0")

    assert len(refused_senders(small, lost, rule=rule)) == 2


def test_each_address_of_a_pod_is_evaluated(small):
    """Nothing refuses packets of the first one, which arrive by another device."""
    for pod, last in zip(small.api["pods"], (2, 3), strict=False):
        pod["status"]["podIPs"].insert(0, {"ip": f"192.0.2.{last}"})
    rule = Rule(4, 100, 0, action="prohibit", iif="cni0")

    assert {part.partition(" to ")[0] for part in refused_senders(small, rule=rule)} == {
        "from Pod kube-system/dns",
        "from Pod shop/web",
    }
