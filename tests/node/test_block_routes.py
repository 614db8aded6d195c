"""Routes to pods where the plugin assigns blocks, compared with the nodes that have the pods."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.small_cluster import HOST, SmallCluster, api_pod, link
from tests.network.building import run_agent
from tests.network.clusters.calico import calico_vxlan
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.node.block_routes import BlockRoutes
from wirecheck.snapshot.netns import Fdb, Neighbour, Route, Rule

TUNNEL, MAC_OF_N2, MAC_OF_N3 = 4, "66:00:00:00:00:02", "66:00:00:00:00:03"
DEFAULT = "default via 192.0.2.254 dev ens3"


@pytest.fixture
def calico(small: SmallCluster) -> SmallCluster:
    """Calico with VXLAN, whose node n2 announces its tunnel and has two pods of one block."""
    calico_vxlan(small)
    announce(small, 1, tunnel="192.168.55.0", mac=MAC_OF_N2)
    add_pod(small, "192.168.55.1", "n2")
    add_pod(small, "192.168.55.2", "n2")
    return small


def announce(small: SmallCluster, at: int, *, tunnel: str = "", mac: str = "") -> None:
    notes = {"IPv4VXLANTunnelAddr": tunnel, "VXLANTunnelMACAddr": mac}
    small.api["nodes"][at]["metadata"]["annotations"] = {
        f"projectcalico.org/{name}": value for name, value in notes.items() if value
    }


def add_pod(small: SmallCluster, where: str, node: str) -> None:
    pod = api_pod(f"pod-{len(small.api['pods'])}", "shop", where)
    pod["spec"]["nodeName"] = node
    small.api["pods"].append(pod)


def add_node(small: SmallCluster, name: str, where: str) -> None:
    status = {"addresses": [{"type": "InternalIP", "address": where}]}
    small.api["nodes"].append({"metadata": {"name": name}, "status": status})


def host(small: SmallCluster) -> Any:
    assert small.document
    return small.document.namespaces[0]


def set_routes(small: SmallCluster, *routes: Route) -> None:
    """Replace the routes to the pods of other nodes."""
    others = [each for each in host(small).routes if "192.168.55." not in each.destination]
    small.change_netns(HOST, routes=[*others, *routes])


def to_block(destination: str = "192.168.55.0/26", **fields: Any) -> Route:
    return Route(4, destination, **({"gateway": "192.168.55.0", "index": TUNNEL} | fields))


def found(small: SmallCluster) -> list[tuple[str, str]]:
    """(node whose pods are misrouted, where the route leads)."""
    node = small.node
    wrong = BlockRoutes(node.seen, node.routes).wrong
    return [(each.peer.name, each.found) for each in wrong]


def test_a_route_through_the_tunnel_of_the_right_node_passes(calico: SmallCluster) -> None:
    assert found(calico) == []


def test_pods_without_a_route_are_found_once_for_each_node(calico: SmallCluster) -> None:
    set_routes(calico)

    assert found(calico) == [("n2", DEFAULT)]


def test_a_node_without_any_route_to_pods_is_found(calico: SmallCluster) -> None:
    others = [each for each in host(calico).routes if each.destination != "default"]
    calico.change_netns(HOST, routes=others)
    set_routes(calico)

    assert found(calico) == [("n2", "no route")]


def test_the_gateway_decides_which_node_a_route_leads_to(calico: SmallCluster) -> None:
    add_node(calico, "n3", "192.0.2.3")
    announce(calico, 2, tunnel="192.168.66.0", mac=MAC_OF_N3)
    third = Neighbour(TUNNEL, "192.168.66.0", MAC_OF_N3, "PERMANENT")
    calico.change_netns(HOST, neighbours=[*host(calico).neighbours, third])
    set_routes(calico, to_block(gateway="192.168.66.0"))

    assert found(calico) == [
        ("n2", "192.168.55.0/26 via 192.168.66.0 dev vxlan.calico, which is node n3")
    ]


@pytest.mark.parametrize(("gateway", "wrong"), [("192.0.2.2", []), ("192.0.2.3", ["n2"])])
def test_a_route_may_lead_to_the_address_of_the_node_itself(
    calico: SmallCluster, gateway: str, wrong: list[str]
) -> None:
    add_node(calico, "n3", "192.0.2.3")
    set_routes(calico, to_block(gateway=gateway, index=2))

    assert [name for name, _ in found(calico)] == wrong


@pytest.mark.parametrize(
    "route",
    [
        to_block(type="blackhole", gateway="", index=None),
        to_block(gateway="203.0.113.9", index=2),
        to_block(gateway="", index=2),
    ],
    ids=["refused", "an unknown gateway", "without a gateway"],
)
def test_a_route_that_leads_to_no_known_node_is_left_to_other_checks(
    calico: SmallCluster, route: Route
) -> None:
    set_routes(calico, route)

    assert found(calico) == []


def test_in_a_block_of_one_node_one_pod_stands_for_all(calico: SmallCluster) -> None:
    """Only a route that is longer than a block can divide it."""
    add_node(calico, "n3", "192.0.2.3")
    divided = to_block("192.168.55.2/32", gateway="192.0.2.3", index=2)
    set_routes(calico, to_block(), divided)
    assert [name for name, _ in found(calico)] == ["n2"]

    set_routes(calico, to_block(), to_block("192.168.99.2/32", gateway="192.0.2.3", index=2))
    assert found(calico) == []


def test_each_pod_of_a_block_with_pods_of_several_nodes_is_followed(calico: SmallCluster) -> None:
    add_node(calico, "n3", "192.0.2.3")
    add_pod(calico, "192.168.55.3", "n3")

    assert [(name, "node n2" in what) for name, what in found(calico)] == [("n3", True)]


@pytest.mark.parametrize("node", ["n1", "gone"])
def test_pods_of_this_node_and_of_unknown_ones_are_not_followed(
    calico: SmallCluster, node: str
) -> None:
    add_pod(calico, "192.168.55.9", node)
    assert found(calico) == []

    calico.api["pods"] = [*calico.api["pods"][:3], calico.api["pods"][-1]]
    with pytest.raises(NotApplicable, match=r"does not assign addresses from spec\.podCIDRs"):
        found(calico)


@pytest.mark.parametrize("name", ["a0", "n3"])
def test_nodes_are_followed_whatever_the_order_of_their_names(
    calico: SmallCluster, name: str
) -> None:
    add_node(calico, name, "192.0.2.3")
    add_pod(calico, "192.168.55.9", name)

    assert [each for each, _ in found(calico)] == [name]


def test_a_pod_without_the_route_that_others_of_its_block_have_is_found(
    calico: SmallCluster,
) -> None:
    set_routes(calico, to_block("192.168.55.1/32"))

    assert found(calico) == [("n2", DEFAULT)]


@pytest.mark.parametrize(
    "change",
    [{"type": "blackhole"}, {"hops": [{"gateway": "192.0.2.254"}]}],
    ids=["refuses", "has several gateways"],
)
def test_a_default_route_that_names_no_gateway_is_not_evaluated(
    calico: SmallCluster, change: dict[str, Any]
) -> None:
    others = [each for each in host(calico).routes if each.destination != "default"]
    calico.change_netns(HOST, routes=[*others, Route(4, "default", **change)])
    set_routes(calico)

    assert found(calico) == []


def test_the_mac_of_a_neighbour_names_the_node_of_a_tunnel_that_is_not_announced(
    calico: SmallCluster,
) -> None:
    announce(calico, 1, mac=MAC_OF_N2)
    add_node(calico, "n3", "192.0.2.3")
    add_pod(calico, "192.168.55.3", "n3")

    assert [(name, what.rpartition(", ")[2]) for name, what in found(calico)] == [
        ("n3", "which is node n2")
    ]


def test_the_devices_of_calico_with_another_plugin_are_not_in_force(calico: SmallCluster) -> None:
    """Canal has flannel's overlay, and devices of Calico can be left from before."""
    run_agent(calico, "canal")
    announce(calico, 1, tunnel="192.168.55.0", mac=MAC_OF_N2)
    set_routes(calico)

    with pytest.raises(NotApplicable):
        found(calico)


def test_without_a_sign_of_a_tunnel_the_network_may_know_the_blocks(calico: SmallCluster) -> None:
    announce(calico, 1)
    calico.change_netns(HOST, neighbours=[], fdb=[])
    set_routes(calico)

    with pytest.raises(NotApplicable):
        found(calico)


def test_without_an_announcement_an_entry_for_its_mac_shows_the_other_tunnel(
    calico: SmallCluster,
) -> None:
    announce(calico, 1, mac=MAC_OF_N2)
    set_routes(calico)
    assert found(calico) == [("n2", DEFAULT)]

    others = [Fdb(2, MAC_OF_N2, "192.0.2.2"), Fdb(TUNNEL, MAC_OF_N3, "192.0.2.3")]
    calico.change_netns(HOST, fdb=others)
    with pytest.raises(NotApplicable):
        found(calico)


def test_a_node_without_a_tunnel_device_is_not_evaluated(calico: SmallCluster) -> None:
    links = [each for each in host(calico).links if each.name != "vxlan.calico"]
    calico.change_netns(HOST, links=links)

    with pytest.raises(NotApplicable):
        found(calico)


def test_an_address_that_several_nodes_have_names_none_of_them(calico: SmallCluster) -> None:
    add_node(calico, "n3", "192.0.2.2")
    set_routes(calico, to_block(gateway="192.0.2.2", index=2))

    assert found(calico) == []


IN_IPV6 = {
    "projectcalico.org/IPv6VXLANTunnelAddr": "fd00:55::",
    "projectcalico.org/VXLANTunnelMACAddrV6": "66:00:00:00:06:02",
}


def test_a_tunnel_of_the_other_family_alone_explains_no_route(calico: SmallCluster) -> None:
    calico.api["nodes"][1]["metadata"]["annotations"] |= IN_IPV6
    calico.change_netns(HOST, links=[link(TUNNEL, "vxlan-v6.calico", "vxlan")])
    set_routes(calico)

    assert found(calico) == []


def test_the_tunnel_of_ipv6_is_another_device(calico: SmallCluster) -> None:
    six = link(9, "vxlan-v6.calico", "vxlan", mac="66:00:00:00:06:01")
    calico.api["nodes"][1]["metadata"]["annotations"] |= IN_IPV6
    mac = IN_IPV6["projectcalico.org/VXLANTunnelMACAddrV6"]
    calico.change_netns(
        HOST,
        links=[*host(calico).links, six],
        neighbours=[*host(calico).neighbours, Neighbour(9, "fd00:55::", mac, "PERMANENT")],
        rules=[*host(calico).rules, Rule(6, 32766, 254)],
    )
    add_pod(calico, "fd00:55::1", "n2")
    default = Route(6, "default", gateway="fe80::1", index=2)
    block = Route(6, "fd00:55::/122", gateway="fd00:55::", index=9)

    set_routes(calico, to_block(), default)
    assert found(calico) == [("n2", "default via fe80::1 dev ens3")]
    set_routes(calico, to_block(), default, block)
    assert found(calico) == []
