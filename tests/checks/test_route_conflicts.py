"""Networks and routes that take packets away from the cluster, with every CNI plugin."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import HOST, SmallCluster, api_pod, link, service
from tests.network.all_clusters import CLUSTERS
from tests.network.clusters.aws_vpc import aws_vpc
from tests.network.clusters.calico import calico_bgp
from wirecheck.snapshot.netns import Address, Link, Neighbour, Route, Rule

ALL = pytest.mark.parametrize("change", CLUSTERS.values(), ids=CLUSTERS)
BRIDGES = ("docker0", "virbr0", "podman0", "br-5f1e2d3c4b5a")


def add_device(
    small: SmallCluster, name: str, range_: str, kind: str = "bridge", *more: Link
) -> None:
    """Adds a device with the first address of a network, and the kernel's route to it."""
    host = small.document.namespaces[0]
    first, _, length = range_.partition("/")
    own = first.rpartition(".")[0] + ".1"
    small.change_netns(
        HOST,
        links=[*host.links, link(90, name, kind), *more],
        addresses=[*host.addresses, Address(90, own, int(length))],
        routes=[*host.routes, Route(4, range_, index=90, scope="link", protocol=2)],
    )


def add_routes(small: SmallCluster, *routes: Route, without: str = "") -> None:
    kept = [e for e in small.document.namespaces[0].routes if e.destination != without]
    small.change_netns(HOST, routes=[*kept, *routes])


def add_service(small: SmallCluster, ip: str) -> None:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    small.api["services"].append(service("api", "shop", ip, ports))


def add_pod(small: SmallCluster, ip: str, namespace: str = "shop", **labels: str) -> None:
    pod = api_pod("there", namespace, ip, **labels)
    pod["spec"]["nodeName"] = "n2"
    small.api["pods"].append(pod)


def overlaps(small: SmallCluster) -> list[str]:
    return [each.found for each in small.findings("routes.no_overlap")]


def refused(small: SmallCluster) -> dict[str, str]:
    return {each.subject.part: each.found for each in small.findings("routes.no_blackholes")}


@ALL
@pytest.mark.parametrize("name", BRIDGES)
def test_a_bridge_over_a_service_is_found(small, change, name):
    change(small)
    add_device(small, name, "172.17.0.0/16")
    add_service(small, "172.17.5.9")

    assert overlaps(small) == ["contains 172.17.5.9, the address of Service shop/api 172.17.5.9"]


@ALL
def test_a_bridge_over_a_pod_of_another_node_is_found(small, change):
    change(small)
    add_device(small, "virbr0", "192.168.122.0/24", "bridge", Link(91, "vnet0", kind="tun"))
    add_pod(small, "192.168.122.7")

    assert overlaps(small) == ["contains 192.168.122.7, the address of Pod shop/there on n2"]


@ALL
def test_a_bridge_over_another_node_is_found(small, change):
    change(small)
    add_device(small, "docker0", "172.17.0.0/16")
    addresses = [{"type": "InternalIP", "address": "172.17.0.9"}]
    small.api["nodes"].append({"metadata": {"name": "n3"}, "status": {"addresses": addresses}})

    assert overlaps(small) == ["contains 172.17.0.9, the address of Node n3"]


@pytest.mark.parametrize(
    ("kind", "state", "reasons"),
    [
        ("tun", "REACHABLE", []),
        ("tun", "STALE", []),
        ("tun", "FAILED", [""]),
        ("tun", "", None),
        ("veth", "REACHABLE", ["bridges on which something answers at the node's address"]),
    ],
)
def test_a_virtual_machine_of_the_node_may_be_another_node(small, kind, state, reasons):
    calico_bgp(small)
    port = Link(91, "vnet0", kind=kind, master=90, peer_index=2, peer_nsid=7)
    add_device(small, "virbr0", "192.168.122.0/24", "bridge", port)
    addresses = [{"type": "InternalIP", "address": "192.168.122.10"}]
    small.api["nodes"].append({"metadata": {"name": "vm"}, "status": {"addresses": addresses}})
    mac = "" if state == "FAILED" else "52:54:00:00:00:01"
    if state:
        known = [Neighbour(90, "192.168.122.10", mac, state)]
        small.change_netns(HOST, neighbours=known)

    found = [each.inconclusive for each in small.findings("routes.no_overlap")]
    assert found == ([""] if reasons is None else reasons)


def test_a_node_that_may_be_a_container_does_not_hide_one_that_is_cut_off(small):
    calico_bgp(small)
    port = Link(91, "veth7", kind="veth", master=90, peer_index=2, peer_nsid=7)
    add_device(small, "lxdbr0", "192.168.122.0/24", "bridge", port)
    for name, last in (("container", 10), ("elsewhere", 11)):
        addresses = [{"type": "InternalIP", "address": f"192.168.122.{last}"}]
        small.api["nodes"].append({"metadata": {"name": name}, "status": {"addresses": addresses}})
    known = [Neighbour(90, "192.168.122.10", "00:16:3e:00:00:01", "REACHABLE")]
    small.change_netns(HOST, neighbours=known)

    (finding,) = small.findings("routes.no_overlap")
    assert (finding.found, finding.inconclusive) == (
        "contains 192.168.122.11, the address of Node elsewhere",
        "",
    )


@ALL
def test_a_vpn_over_a_service_and_a_dns_replica_is_found(small, change):
    change(small)
    host = small.document.namespaces[0]
    small.change_netns(HOST, links=[*host.links, Link(90, "tun0", flags=["UP"], kind="tun")])
    add_routes(small, Route(4, "172.20.0.0/16", gateway="10.8.0.1", index=90))
    add_service(small, "172.20.5.9")
    add_pod(small, "172.20.9.8", "kube-system", **{"k8s-app": "kube-dns"})

    assert overlaps(small) == [
        "contains 172.20.5.9, the address of Service shop/api 172.20.5.9",
        "contains 172.20.9.8, the address of DNS replica kube-system/there on n2",
    ]


def test_a_vpn_that_may_be_an_unknown_plugins_is_inconclusive(small):
    del small.api["pods"][2]
    for node in small.api["nodes"]:
        node["metadata"]["annotations"] = {}
        node["spec"] = {}
    host = small.document.namespaces[0]
    small.change_netns(HOST, links=[*host.links, Link(90, "wg0", flags=["UP"], kind="wireguard")])
    add_routes(small, Route(4, "10.99.0.0/16", index=90))
    add_pod(small, "10.99.1.9")

    (finding,) = small.findings("routes.no_overlap")
    assert "unknown CNI plugin" in finding.inconclusive


@pytest.mark.parametrize(
    "route",
    [
        Route(4, "0.0.0.0/1", gateway="10.8.0.1", index=90),
        Route(4, "10.96.0.0/12", gateway="192.0.2.254", index=2),
        Route(4, "10.99.0.0/16", gateway="10.8.0.1", index=90),
        Route(4, "10.96.0.0/12", gateway="10.8.0.1", index=90, table=77),
    ],
    ids=["instead of the default route", "a peering", "elsewhere", "a table that nobody asks"],
)
def test_routes_that_take_nothing_away_are_right(small, route):
    calico_bgp(small)
    host = small.document.namespaces[0]
    small.change_netns(HOST, links=[*host.links, Link(90, "tun0", flags=["UP"], kind="tun")])
    add_routes(small, route)

    assert overlaps(small) == []


@pytest.mark.parametrize("name", ["kilo0", "tailscale0", "kubespan", "wireguard.cali"])
def test_a_mesh_between_the_nodes_is_right(small, name):
    calico_bgp(small)
    host = small.document.namespaces[0]
    small.change_netns(HOST, links=[*host.links, Link(90, name, flags=["UP"], kind="wireguard")])
    add_routes(small, Route(4, "10.99.1.0/24", index=90))
    add_pod(small, "10.99.1.9")

    assert overlaps(small) == []


@pytest.mark.parametrize(
    ("kind", "port"),
    [
        ("bridge", Link(91, "eth1", master=90)),
        ("bridge", Link(91, "vethwe-bridge", kind="veth", master=90, peer_index=92)),
        ("bridge", link(11, "veth11", peer_index=2, peer_nsid=1, master=90)),
        ("", Link(91, "other")),
        ("vlan", Link(91, "other")),
    ],
    ids=["a port that leads out", "Weave", "with pods", "a network card", "a VLAN"],
)
def test_a_network_that_other_nodes_may_share_is_right(small, kind, port):
    calico_bgp(small)
    host = small.document.namespaces[0]
    kept = [each for each in host.links if each.index != port.index]
    small.change_netns(HOST, links=kept)
    add_device(small, "other", "172.17.0.0/16", kind, port)
    add_pod(small, "172.17.9.8")

    assert overlaps(small) == []


def test_a_more_specific_route_of_the_plugin_wins(small):
    calico_bgp(small)
    add_device(small, "docker0", "192.168.0.0/16")
    add_pod(small, "192.168.55.7")

    assert overlaps(small) == []


@ALL
@pytest.mark.parametrize("type_", ["blackhole", "unreachable", "prohibit"])
def test_a_route_that_refuses_services_is_found(small, change, type_):
    change(small)
    add_routes(small, Route(4, "10.96.0.0/12", type=type_))

    assert refused(small)["to kube-system/kube-dns 10.96.0.10"] == f"{type_} 10.96.0.0/12"


@ALL
def test_a_rule_that_refuses_services_is_found(small, change):
    change(small)
    rules = small.document.namespaces[0].rules
    rule = Rule(4, 150, 0, destination="10.96.0.0/12", action="prohibit")
    small.change_netns(HOST, rules=[*rules, rule])

    (first, *_) = small.findings("routes.no_blackholes")
    assert first.found == "prohibit by routing rule 150"
    assert dict(first.names)["priority"] == "150"


@ALL
def test_a_node_without_a_default_route_is_found(small, change):
    change(small)
    routes = small.document.namespaces[0].routes
    kept = [each for each in routes if each.destination != "default" or each.table != 254]
    small.change_netns(HOST, routes=kept)

    assert refused(small)["to kube-system/kube-dns 10.96.0.10"] == "no route"


@pytest.mark.parametrize("type_", ["", "blackhole"])
def test_cilium_without_kube_proxy_may_need_no_route_to_services(small, type_):
    CLUSTERS["Cilium"](small)
    data = {"kube-proxy-replacement": "true"}
    meta = {"name": "cilium-config", "namespace": "kube-system"}
    small.api["configMaps"] = [{"metadata": meta, "data": data}]
    added = [Route(4, "10.96.0.0/12", type=type_)] if type_ else []
    add_routes(small, *added, without="default")

    found = [
        bool(each.inconclusive)
        for each in small.findings("routes.no_blackholes")
        if "10.96." in each.subject.part
    ]
    assert found == [not type_] * 2


@pytest.mark.parametrize("range_", ["192.168.55.0/26", "192.168.55.0/24", "192.168.55.7/32"])
def test_a_blackhole_over_pods_of_another_node_is_found(small, range_):
    calico_bgp(small)
    add_pod(small, "192.168.55.7")
    add_routes(small, Route(4, range_, type="blackhole"), without="192.168.55.0/26")

    assert refused(small) == {"to shop/there 192.168.55.7": f"blackhole {range_}"}


def test_a_rule_over_pods_of_another_node_is_found(small):
    aws_vpc(small)
    add_pod(small, "192.0.2.99")
    rules = small.document.namespaces[0].rules
    rule = Rule(4, 150, 0, destination="192.0.2.99/32", action="unreachable")
    small.change_netns(HOST, rules=[*rules, rule])

    assert refused(small) == {"to shop/there 192.0.2.99": "unreachable by routing rule 150"}


def test_the_blackhole_of_the_nodes_own_block_is_right(small):
    calico_bgp(small)
    add_pod(small, "192.168.74.9")
    borrowed = Route(4, "192.168.74.9/32", gateway="192.0.2.2", index=2)
    add_routes(small, borrowed)

    assert refused(small) == {}


def test_a_bridge_over_an_api_server_outside_of_the_cluster_is_found(small):
    aws_vpc(small)
    add_device(small, "docker0", "172.17.0.0/16")
    add_api_server(small, "172.17.80.9")

    assert overlaps(small) == ["contains 172.17.80.9, the address of an API server"]


@pytest.mark.parametrize(
    ("range_", "part"),
    [("192.0.2.2/32", "to Node n2 192.0.2.2"), ("172.17.80.0/24", "to an API server 172.17.80.9")],
)
def test_a_blackhole_over_another_node_or_an_api_server_is_found(small, range_, part):
    calico_bgp(small)
    add_api_server(small, "172.17.80.9")
    add_routes(small, Route(4, range_, type="unreachable"))

    assert refused(small) == {part: f"unreachable {range_}"}


def add_api_server(small: SmallCluster, ip: str) -> None:
    small.api["endpointSlices"].append(
        {
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [ip], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
        }
    )


@ALL
def test_a_vpn_that_other_nodes_are_behind_is_inconclusive(small, change):
    """Sites may be connected on purpose; connections to the nodes show whether they are."""
    change(small)
    host = small.document.namespaces[0]
    small.change_netns(HOST, links=[*host.links, Link(90, "tun0", flags=["UP"], kind="tun")])
    add_routes(small, Route(4, "172.20.0.0/16", gateway="10.8.0.1", index=90))
    addresses = [{"type": "InternalIP", "address": "172.20.0.9"}]
    small.api["nodes"].append({"metadata": {"name": "n3"}, "status": {"addresses": addresses}})

    (finding,) = small.findings("routes.no_overlap")
    assert "on purpose" in finding.inconclusive


@ALL
@pytest.mark.parametrize("action", ["prohibit", "unreachable", "blackhole"])
def test_a_rule_that_refuses_services_to_the_nodes_own_source_is_found(small, change, action):
    change(small)
    rules = small.document.namespaces[0].rules
    refusing = Rule(4, 150, 0, source="192.0.2.1/32", destination="10.96.0.0/12", action=action)
    small.change_netns(HOST, rules=[*rules, refusing])

    assert refused(small)["to kube-system/kube-dns 10.96.0.10"] == f"{action} by routing rule 150"


@ALL
def test_a_rule_that_refuses_another_source_is_right(small, change):
    change(small)
    rules = small.document.namespaces[0].rules
    refusing = Rule(4, 150, 0, source="198.51.100.7/32", action="prohibit")
    small.change_netns(HOST, rules=[*rules, refusing])

    assert refused(small) == {}


class TestDualStack:
    """The same in IPv6, beside an IPv4 that is right."""

    SERVICE = "fd00:10:96::10"

    def two_families(self, small: SmallCluster) -> None:
        calico_bgp(small)
        small.api["services"][1]["spec"]["clusterIPs"].append(self.SERVICE)
        addresses = small.api["nodes"][1]["status"]["addresses"]
        addresses.append({"type": "InternalIP", "address": "2001:db8::2"})
        small.api["nodes"][0]["status"]["addresses"].append(
            {"type": "InternalIP", "address": "2001:db8::1"}
        )
        host = small.document.namespaces[0]
        small.change_netns(
            HOST,
            addresses=[*host.addresses, Address(2, "2001:db8::1", 64)],
            routes=[
                *host.routes,
                Route(6, "default", gateway="fe80::1", index=2),
                Route(6, "2001:db8::/64", index=2, protocol=2),
            ],
            rules=[*(e for e in host.rules if e.family == 4), Rule(6, 0, 255), Rule(6, 32766, 254)],
        )

    def test_is_right_as_it_is(self, small):
        self.two_families(small)
        assert refused(small) == {}
        assert overlaps(small) == []
        assert not small.findings("routes.policy_routing")

    def test_a_node_without_a_default_route_is_found(self, small):
        self.two_families(small)
        kept = [
            each
            for each in small.document.namespaces[0].routes
            if (each.family, each.destination) != (6, "default")
        ]
        small.change_netns(HOST, routes=kept)
        assert refused(small) == {f"to kube-system/kube-dns {self.SERVICE}": "no route"}

    def test_a_rule_for_the_nodes_own_source_is_found(self, small):
        self.two_families(small)
        rules = small.document.namespaces[0].rules
        refusing = Rule(6, 150, 0, source="2001:db8::1/128", action="prohibit")
        small.change_netns(HOST, rules=[*rules, refusing])
        assert set(refused(small).values()) == {"prohibit by routing rule 150"}

    def test_a_bridge_over_a_service_is_found(self, small):
        self.two_families(small)
        host = small.document.namespaces[0]
        small.change_netns(
            HOST,
            links=[*host.links, link(90, "docker0", "bridge")],
            addresses=[*host.addresses, Address(90, "fd00:10:96::1", 112)],
            routes=[*host.routes, Route(6, "fd00:10:96::/112", index=90, protocol=2)],
        )
        assert overlaps(small) == [
            f"contains {self.SERVICE}, the address of Service kube-system/kube-dns {self.SERVICE}"
        ]


@pytest.mark.parametrize("selector", ["mark", "iif", "oif"])
def test_a_refusing_rule_for_other_packets_adds_nothing(small, selector):
    """A kill switch of a VPN refuses marked packets, whatever their destination is."""
    calico_bgp(small)
    add_pod(small, "192.168.55.7")
    add_routes(small, Route(4, "192.168.55.0/26", type="blackhole"), without="192.168.55.0/26")
    rules = small.document.namespaces[0].rules
    other = Rule(4, 150, 0, action="unreachable", **{selector: "0x1"})
    small.change_netns(HOST, rules=[*rules, other])

    (finding,) = small.findings("routes.no_blackholes")
    assert finding.found == "blackhole 192.168.55.0/26"


@pytest.mark.parametrize(
    ("range_", "found"), [("0.0.0.0/1", 0), ("0.0.0.0/2", 1), ("10.64.0.0/10", 1)]
)
def test_a_vpn_takes_the_default_route_by_its_two_halves(small, range_, found):
    """A wider route of the VPN than these is meant for the cluster's networks."""
    calico_bgp(small)
    host = small.document.namespaces[0]
    small.change_netns(HOST, links=[*host.links, Link(90, "tun0", flags=["UP"], kind="tun")])
    add_routes(small, Route(4, range_, gateway="10.8.0.1", index=90))

    assert len(overlaps(small)) == found


@pytest.mark.parametrize(
    "route",
    [
        Route(4, "10.96.0.0/12", index=90, protocol=2, type="broadcast"),
        Route(4, "10.96.0.0/12", index=1, protocol=2),
        Route(4, "10.96.0.0/12", protocol=2, hops=[{"gateway": "192.0.2.2"}]),
    ],
    ids=["a broadcast", "by lo", "by several devices"],
)
def test_a_route_without_a_device_of_its_own_is_no_network(small, route):
    calico_bgp(small)
    host = small.document.namespaces[0]
    small.change_netns(HOST, links=[*host.links, link(90, "docker0", "bridge")])
    add_routes(small, route)

    assert overlaps(small) == []
