"""Which ports of nodes a visit connects to: a bounded share, and all of them over all nodes."""

import msgspec
import pytest

from tests.checks.small_ports import ANYWHERE, HEALTH, LOCAL, ON_HOST, add_service, with_ports
from tests.collect.plan.test_contacts import described, planned
from wirecheck.api_index.endpoint_slices import slices_by_service
from wirecheck.api_index.host_ports import HostPort, host_ports
from wirecheck.api_index.node_ports import node_ports
from wirecheck.snapshot.api_objects import ApiObjects


def node_ports_of(small):
    api = msgspec.convert(small.api, ApiObjects)
    return node_ports(api.services, slices_by_service(api.endpoint_slices))


def ports(objects, node="n1", purpose="node port"):
    return {
        (each.address, each.port): each
        for each in planned(objects, node)
        if each.purpose == purpose
    }


def many(nodes: int, services: int = 0):
    small = with_ports()
    for number in range(services):
        add_service(small, f"more-{number:03}", 31000 + number, type="NodePort")
    small.api["nodes"] = [
        {**each, "status": {**each["status"], "conditions": [{"type": "Ready", "status": "True"}]}}
        for each in described(nodes)["nodes"]
    ]
    return small.api


def test_a_port_that_is_to_stay_closed_is_tried_once_and_only_at_others():
    found = ports(many(3), "n2")

    assert {where for where, port in found if port == LOCAL} == {"192.0.2.1", "192.0.2.3"}
    assert [found[f"192.0.2.{n}", LOCAL].attempts for n in (1, 3)] == [2, 1]
    assert {each.attempts for (_, port), each in found.items() if port == ANYWHERE} == {4}


def test_health_checks_are_asked_by_http_at_the_node_and_at_three_others():
    found = ports(many(6), "n2", "health check")

    assert {where for where, _ in found} == {f"192.0.2.{n}" for n in (2, 3, 4, 5)}
    assert all(each.http and port == HEALTH for (_, port), each in found.items())


def test_host_ports_are_asked_by_their_node_and_by_those_before_it():
    asking = [n for n in range(1, 7) if ports(many(6), f"n{n}", "host port")]

    assert asking == [1, 4, 5, 6]
    assert ports(many(6), "n6", "host port").keys() == {("192.0.2.1", ON_HOST)}


def test_a_node_asks_for_few_ports_and_all_nodes_for_every_port():
    objects = many(40, services=100)
    seen = [ports(objects, f"n{n + 1}") for n in range(40)]

    assert max(map(len, seen)) <= (4 + 2) * 4
    expected = {ANYWHERE, LOCAL, *range(31000, 31100)}
    assert {port for each in seen for _, port in each} == expected
    assert {where for each in seen for where, _ in each} == {f"192.0.2.{n + 1}" for n in range(40)}


def test_the_same_objects_give_the_same_plan():
    assert planned(many(5, 9), "n3") == planned(many(5, 9), "n3")


def test_nodes_that_are_not_ready_are_not_asked():
    objects = many(3)
    objects["nodes"][1]["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]

    assert {where for where, _ in ports(objects)} == {"192.0.2.1", "192.0.2.3"}


def test_pods_that_are_not_ready_are_not_asked_at_their_host_ports():
    objects = many(2)
    objects["pods"][1]["status"]["conditions"] = []

    assert ports(objects, "n1", "host port") == {}


@pytest.mark.parametrize(
    ("conditions", "is_used"),
    [
        ({}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, True),
        ({"ready": False, "serving": False, "terminating": True}, False),
    ],
)
def test_endpoints_are_used_as_kube_proxy_uses_them(conditions, is_used):
    small = with_ports()
    for slice_ in small.api["endpointSlices"][1:]:
        slice_["endpoints"][0]["conditions"] = conditions

    found = node_ports_of(small)
    assert bool(found) is is_used
    assert {each.port for each in found if each.is_open_at("n1")} == (
        {ANYWHERE, LOCAL} if is_used else set()
    )


def test_ports_of_a_slice_are_joined_by_their_names():
    small = with_ports()
    small.api["endpointSlices"][1]["ports"][0]["name"] = "metrics"

    assert {each.port for each in node_ports_of(small)} == {LOCAL}


@pytest.mark.parametrize(
    ("host_ip", "address", "open_at"),
    [
        ("", "", ["192.0.2.1"]),
        ("0.0.0.0", "", ["192.0.2.1"]),
        ("192.0.2.7", "192.0.2.7", ["192.0.2.7"]),
        ("127.0.0.1", "127.0.0.1", []),
        ("::", None, []),
    ],
)
def test_a_host_port_is_open_at_its_own_address_or_at_all(host_ip, address, open_at):
    small = with_ports()
    small.api["pods"][1]["spec"]["containers"][0]["ports"][0]["hostIP"] = host_ip
    api = msgspec.convert(small.api, ApiObjects)

    found = list(host_ports(api.pods[1]))
    expected = [] if address is None else [HostPort("tcp", address, ON_HOST, "10.244.0.3", 8080)]
    assert found == expected
    assert [where for each in found for where in each.open_at(api.nodes[0])] == open_at


def test_pods_on_the_hosts_network_have_no_host_ports():
    small = with_ports()
    small.api["pods"][1]["spec"]["hostNetwork"] = True

    assert list(host_ports(msgspec.convert(small.api, ApiObjects).pods[1])) == []


def test_with_policy_local_the_endpoints_of_each_node_are_chosen_from():
    """One that ends is used where its node has no other; with policy Cluster, nowhere."""
    small = with_ports()
    ending = {"ready": False, "serving": True, "terminating": True}
    for slice_ in small.api["endpointSlices"][1:]:
        first = slice_["endpoints"][0]
        on_n2 = {"addresses": ["10.244.1.7"], "nodeName": "n2", "conditions": ending}
        slice_["endpoints"] += [{**first, "conditions": ending}, on_n2]

    found = {each.port: each for each in node_ports_of(small)}
    assert {each.node for each in found[ANYWHERE].backends} == {"n1"}
    assert [each.node for each in found[LOCAL].backends] == ["n1", "n2"]
