"""Node ports have the backends that kube-proxy uses."""

import msgspec
import pytest

from tests.checks.small_ports import ANYWHERE, LOCAL, with_ports
from wirecheck.api_index.endpoint_slices import slices_by_service
from wirecheck.api_index.node_ports import node_ports
from wirecheck.snapshot.api_objects import ApiObjects


def node_ports_of(small):
    api = msgspec.convert(small.api, ApiObjects)
    return node_ports(api.services, slices_by_service(api.endpoint_slices))


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


def test_ports_of_a_slice_are_joined_by_name():
    small = with_ports()
    small.api["endpointSlices"][1]["ports"][0]["name"] = "metrics"

    assert {each.port for each in node_ports_of(small)} == {LOCAL}


def test_the_policy_local_chooses_among_the_endpoints_of_each_node():
    """A terminating endpoint is used if its node has no other one, unlike with policy Cluster."""
    small = with_ports()
    terminating = {"ready": False, "serving": True, "terminating": True}
    for slice_ in small.api["endpointSlices"][1:]:
        first = slice_["endpoints"][0]
        on_n2 = {"addresses": ["10.244.1.7"], "nodeName": "n2", "conditions": terminating}
        slice_["endpoints"] += [{**first, "conditions": terminating}, on_n2]

    found = {each.port: each for each in node_ports_of(small)}
    assert {each.node for each in found[ANYWHERE].backends} == {"n1"}
    assert [each.node for each in found[LOCAL].backends] == ["n1", "n2"]
