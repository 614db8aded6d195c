"""Routes of one node: to the pods of other nodes, and for its own connections."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.small_cluster import HOST, SmallCluster, api_node, link
from tests.network.clusters.kube_router import kube_router
from wirecheck.addresses import address
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.node.routes import NodeRoutes
from wirecheck.snapshot.netns import Address, Route, Rule


@pytest.fixture
def small() -> SmallCluster:
    return SmallCluster()


def routes(small: SmallCluster) -> NodeRoutes:
    return small.node.routes


def set_routes(small: SmallCluster, *more: Route, without: str = "") -> None:
    assert small.document
    kept = [e for e in small.document.namespaces[0].routes if e.destination != without]
    small.change_netns(HOST, routes=[*kept, *more])


def third_node() -> dict[str, Any]:
    node = api_node("n2", "192.0.2.3", "10.244.2.0/24")
    node["metadata"]["name"] = "n3"
    return node


def missing(small: SmallCluster) -> list[str]:
    return [str(each.range) for each in routes(small).peer_routes if not each.is_right]


def test_a_plugin_that_adds_a_route_for_each_node_needs_it(small: SmallCluster) -> None:
    kube_router(small)
    assert missing(small) == []

    set_routes(small, without="10.244.1.0/24")
    assert missing(small) == ["10.244.1.0/24"]


def test_each_node_and_family_has_its_route(small: SmallCluster) -> None:
    small.api["nodes"].append(third_node())

    found = [str(each.range) for each in routes(small).peer_routes]
    assert found == ["10.244.1.0/24", "10.244.2.0/24"]
    assert missing(small) == ["10.244.2.0/24"]


def test_a_node_that_flannel_does_not_know_yet_has_no_route(small: SmallCluster) -> None:
    small.api["nodes"][1]["metadata"]["annotations"] = {}
    small.api["nodes"].append(third_node())

    assert [each.node.metadata.name for each in routes(small).peer_routes] == ["n3"]


def test_ranges_of_a_family_that_the_node_lacks_are_left_out(small: SmallCluster) -> None:
    small.api["nodes"][1]["spec"]["podCIDRs"].append("fd00:0:0:1::/64")
    assert len(routes(small).peer_routes) == 1

    small.api["nodes"][0]["spec"]["podCIDRs"].append("fd00::/64")
    assert len(routes(small).peer_routes) == 2


def test_a_single_node_needs_no_routes(small: SmallCluster) -> None:
    del small.api["nodes"][1]

    with pytest.raises(NotApplicable, match="no other node"):
        _ = routes(small).peer_routes


@pytest.mark.parametrize(
    ("route", "is_specific", "is_exact"),
    [
        (Route(4, "10.244.1.0/24", gateway="10.244.1.0", index=4, onlink=True), True, True),
        (Route(4, "10.244.0.0/16", gateway="192.0.2.2", index=2), True, False),
        (None, False, False),
    ],
)
def test_a_route_may_be_for_the_range_alone(
    small: SmallCluster, route: Route | None, is_specific: bool, is_exact: bool
) -> None:
    set_routes(small, *[route] * bool(route), without="10.244.1.0/24")

    (peer,) = routes(small).peer_routes
    assert (peer.is_specific, peer.is_exact) == (is_specific, is_exact)


@pytest.mark.parametrize(
    ("backend", "route", "is_right"),
    [
        ("vxlan", Route(4, "10.244.1.0/24", gateway="10.244.1.0", index=4, onlink=True), True),
        ("vxlan", Route(4, "10.244.1.0/24", gateway="10.244.1.7", index=4, onlink=True), True),
        ("vxlan", Route(4, "10.244.1.0/24", gateway="10.244.2.0", index=4, onlink=True), False),
        ("vxlan", Route(4, "10.244.1.0/24", gateway="10.244.1.7", index=4), False),
        ("vxlan", Route(4, "10.244.1.0/24", index=4, onlink=True), False),
        ("vxlan", Route(4, "10.244.1.0/24", gateway="192.0.2.2", index=2), True),
        ("vxlan", Route(4, "10.244.1.0/24", gateway="10.244.1.0", index=6, onlink=True), False),
        ("host-gw", Route(4, "10.244.1.0/24", gateway="192.0.2.2", index=2), True),
        ("host-gw", Route(4, "10.244.1.0/24", gateway="192.0.2.9", index=2), False),
        (
            "host-gw",
            Route(4, "10.244.1.0/24", hops=[{"gateway": "192.0.2.9"}, {"gateway": "192.0.2.2"}]),
            True,
        ),
        ("host-gw", Route(4, "10.244.1.0/24", gateway="192.0.2.2", type="prohibit"), False),
        ("ipip", Route(4, "10.244.1.0/24", index=6), True),
        ("ipip", Route(4, "10.244.1.0/24", index=4), False),
        ("ipip", Route(4, "10.244.1.0/24", index=5), False),
    ],
)
def test_a_route_is_right_if_it_leads_to_the_node_or_into_the_backends_tunnel(
    small: SmallCluster, backend: str, route: Route, is_right: bool
) -> None:
    assert small.document
    links = [*small.document.namespaces[0].links, link(6, "flannel.ipip", "ipip")]
    small.change_netns(HOST, links=links)
    for node in small.api["nodes"]:
        node["metadata"]["annotations"]["flannel.alpha.coreos.com/backend-type"] = backend
    set_routes(small, route, without="10.244.1.0/24")

    assert missing(small) == ([] if is_right else ["10.244.1.0/24"])


@pytest.mark.parametrize(
    ("backend", "text"),
    [
        ("vxlan", "10.244.1.0/24 via 10.244.1.0 on the VXLAN device, to node n2"),
        ("ipip", "10.244.1.0/24 into a ipip device, flannel's backend, to node n2"),
        ("host-gw", "10.244.1.0/24 via an address of node n2, or into a tunnel"),
    ],
)
def test_the_expected_route_is_that_of_the_backend(
    small: SmallCluster, backend: str, text: str
) -> None:
    for node in small.api["nodes"]:
        node["metadata"]["annotations"]["flannel.alpha.coreos.com/backend-type"] = backend

    (peer,) = routes(small).peer_routes
    assert peer.expected == text
    assert peer.name == "route to 10.244.1.0/24"


@pytest.mark.parametrize(
    ("destination", "is_uniform"),
    [("10.244.1.128/25", False), ("10.244.1.7/32", False), ("10.244.2.128/25", True)],
)
def test_a_route_to_a_part_of_a_range_divides_it(
    small: SmallCluster, destination: str, is_uniform: bool
) -> None:
    set_routes(small, Route(4, destination, index=2))

    (peer,) = routes(small).peer_routes
    assert peer.is_uniform is is_uniform


def test_ranges_of_another_length_may_be_divided_anywhere(small: SmallCluster) -> None:
    for number, node in enumerate(small.api["nodes"]):
        node["spec"] = {"podCIDR": f"10.244.{number}.0/25", "podCIDRs": [f"10.244.{number}.0/25"]}

    (peer,) = routes(small).peer_routes
    assert not peer.is_uniform


@pytest.mark.parametrize(
    ("more", "found"),
    [
        (Route(4, "10.244.1.128/25", index=5), ["10.244.1.128/25"]),
        (Route(4, "10.244.1.7/32", type="blackhole"), ["10.244.1.7/32"]),
        (Route(4, "10.244.1.128/25", gateway="10.244.1.0", index=4, onlink=True), []),
        (Route(4, "10.244.2.128/25", index=5), []),
        (Route(4, "10.244.0.0/16", index=5), []),
        (Route(6, "fd00:0:0:1::/65", index=5), []),
    ],
)
def test_a_route_to_a_part_of_a_range_must_not_differ(
    small: SmallCluster, more: Route, found: list[str]
) -> None:
    set_routes(small, more)

    assert [route.destination for _, route in routes(small).shadows] == found


def test_the_kernel_chooses_the_source_of_a_connection(small: SmallCluster) -> None:
    small.change_netns(
        HOST,
        addresses=[
            Address(5, "10.244.0.1", 24),
            Address(2, "169.254.0.9", 16, scope="link"),
            Address(2, "fd00::9", 64),
            Address(2, "192.0.2.1", 24),
            Address(2, "192.0.2.7", 24),
        ],
    )
    found = routes(small).source_of

    assert found(Route(4, "default", index=5)) == address("10.244.0.1")
    assert found(Route(4, "default", index=2)) == address("192.0.2.1")
    assert found(Route(4, "default", index=2, source="192.0.2.7")) == address("192.0.2.7")
    assert found(Route(4, "default", index=4)) == address("192.0.2.1")
    assert found(Route(4, "default", type="blackhole")) is None
    assert found(Route(6, "default", index=2)) is None
    small.api["nodes"][0]["status"]["addresses"].append(
        {"type": "InternalIP", "address": "fd00::1"}
    )
    assert routes(small).source_of(Route(6, "default", index=2)) == address("fd00::1")
    small.change_netns(HOST, addresses=[])
    assert routes(small).source_of(Route(4, "default", index=2)) is None


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        (Rule(4, 100, 0, source="192.0.2.1/32", action="prohibit"), True),
        (Rule(4, 100, 0, source="192.0.2.9/32", action="prohibit"), False),
    ],
)
def test_a_connection_is_looked_up_again_with_its_source(
    small: SmallCluster, rule: Rule, refused: bool
) -> None:
    small.change_netns(HOST, rules=[Rule(4, 0, 255), rule, Rule(4, 32766, 254)])

    route = routes(small).connected(address("198.51.100.7"))

    assert route
    assert (route.type == "prohibit") is refused
    set_routes(small, without="default")
    assert routes(small).connected(address("198.51.100.7")) is None


def test_the_default_route_is_not_that_to_a_node_that_is_its_gateway(small: SmallCluster) -> None:
    gateway = Route(4, "default", gateway="192.0.2.2", index=2)
    set_routes(small, without="10.244.1.0/24")
    set_routes(small, gateway, without="default")

    (peer,) = routes(small).peer_routes
    assert peer.route == gateway
    assert not peer.is_right
