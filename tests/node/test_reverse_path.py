"""Packets that strict reverse path filtering drops, by the node's routes and its CNI plugin."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import HOST, SmallCluster, link
from tests.network.clusters.cilium import cilium
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.node.reverse_path import ReversePath
from wirecheck.snapshot.netns import Route

CONF = "/proc/sys/net/ipv4/conf/{}/rp_filter"


@pytest.fixture
def small() -> SmallCluster:
    return SmallCluster()


def filtering(small: SmallCluster, **values: str | None) -> None:
    for name, value in values.items():
        small.change_file(CONF.format(name.replace("_", ".")), value)


def drops(small: SmallCluster) -> list[tuple[str, str, str]]:
    node = small.node
    found = ReversePath(node.seen, node.routes).drops
    return [(each.interface.name, each.who, each.answered) for each in found]


def set_routes(small: SmallCluster, *more: Route, without: str = "") -> None:
    assert small.document
    kept = [e for e in small.document.namespaces[0].routes if e.destination != without]
    small.change_netns(HOST, routes=[*kept, *more])


BACK_BY_ENS3 = Route(4, "10.244.1.0/24", gateway="192.0.2.2", index=2)
OF_PODS = ("flannel.1", "packets of the pods of n2", "through ens3")


@pytest.mark.parametrize(
    ("values", "is_dropped"),
    [
        ({"flannel_1": "1"}, True),
        ({"all": "1"}, True),
        ({"flannel_1": "1\n"}, True),
        # The higher value counts: loose filtering of all devices is loose.
        ({"flannel_1": "1", "all": "2"}, False),
        ({"flannel_1": "2"}, False),
        ({"flannel_1": "0"}, False),
        ({"ens3": "1"}, False),
    ],
)
def test_strict_filtering_drops_packets_that_are_answered_elsewhere(
    small: SmallCluster, values: dict[str, str], is_dropped: bool
) -> None:
    set_routes(small, BACK_BY_ENS3, without="10.244.1.0/24")
    filtering(small, **values)

    assert drops(small) == ([OF_PODS] if is_dropped else [])


def test_packets_that_are_answered_where_they_arrive_pass(small: SmallCluster) -> None:
    filtering(small, flannel_1="1", ens3="1", all="1")

    assert drops(small) == []


def test_a_direct_route_is_answered_by_the_uplink(small: SmallCluster) -> None:
    """With host-gw, packets of pods arrive on the wire."""
    for node in small.api["nodes"]:
        node["metadata"]["annotations"]["flannel.alpha.coreos.com/backend-type"] = "host-gw"
    filtering(small, ens3="1")
    set_routes(small, BACK_BY_ENS3, without="10.244.1.0/24")
    assert drops(small) == []

    set_routes(small, Route(4, "10.244.1.0/24", index=5), without="10.244.1.0/24")
    assert drops(small) == [("ens3", "packets of the pods of n2", "through cni0")]


def test_a_range_without_a_route_is_left_to_the_check_of_routes(small: SmallCluster) -> None:
    filtering(small, flannel_1="1", ens3="1")
    small.change_netns(HOST, routes=[])

    assert drops(small) == []


def test_the_kernel_filters_ipv4_only(small: SmallCluster) -> None:
    for number, node in enumerate(small.api["nodes"], start=1):
        node["metadata"]["annotations"] |= {
            "flannel.alpha.coreos.com/backend-v6-data": '{"VNI":1,"VtepMAC":"0a:00:00:00:01:01"}',
            "flannel.alpha.coreos.com/public-ipv6": f"2001:db8::{number}",
        }
        node["spec"]["podCIDRs"].append(f"fd00:0:0:{number}::/64")
    set_routes(small, Route(6, "fd00:0:0:2::/64", gateway="2001:db8::2", index=2))
    filtering(small, flannel_1="1", ens3="1")

    assert drops(small) == []


def test_packets_of_a_node_arrive_in_its_network(small: SmallCluster) -> None:
    set_routes(small, Route(4, "192.0.2.2/32", index=5))
    assert drops(small) == []

    filtering(small, ens3="1")
    assert drops(small) == [("ens3", "packets of node n2", "through cni0")]


def test_a_packet_that_is_refused_anyway_is_not_filtered(small: SmallCluster) -> None:
    filtering(small, ens3="1")
    set_routes(small, Route(4, "192.0.2.2/32", type="blackhole"))

    assert drops(small) == []


@pytest.mark.parametrize("value", [None, "", "one"])
def test_a_value_that_is_not_known_is_an_error_where_it_matters(
    small: SmallCluster, value: str | None
) -> None:
    filtering(small, ens3=value)
    assert drops(small) == []

    set_routes(small, Route(4, "192.0.2.2/32", index=5))
    with pytest.raises(FactMissingError, match="rp_filter"):
        drops(small)


@pytest.mark.parametrize(
    ("flags", "value", "is_dropped"),
    [(["UP"], "1", True), (["UP"], "2", False), ([], "1", False)],
)
def test_a_device_of_a_plugin_that_redirects_packets_must_not_filter(
    small: SmallCluster, flags: list[str], value: str, is_dropped: bool
) -> None:
    cilium(small)
    assert small.document
    host = small.document.namespaces[0]
    device = link(70, "lxc123")
    small.change_netns(HOST, links=[*host.links, device])
    small.change_link(HOST, "lxc123", flags=flags)
    for each in host.links:
        filtering(small, **{each.name: "0"})
    filtering(small, lxc123=value)

    found = [("lxc123", "packets of its pod", "by eBPF, not through a route")]
    assert drops(small) == (found if is_dropped else [])


def test_each_sender_is_reported_once_for_a_device(small: SmallCluster) -> None:
    small.api["nodes"][1]["status"]["addresses"].append(
        {"type": "InternalIP", "address": "192.0.2.3"}
    )
    set_routes(small, Route(4, "192.0.2.2/31", index=5))
    filtering(small, ens3="1")

    assert drops(small) == [("ens3", "packets of node n2", "through cni0")]
