"""Services and all that they need: objects of a cluster as large as it is asked for."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

CLUSTER_RANGE = "10.128.0.0/9"
PORT, TARGET_PORT = 80, 8080
NAMESPACES = 50


def node_name(number: int) -> str:
    """Of the nodes from 0 on."""
    return f"node-{number:04}"


def pod_range(number: int) -> str:
    """The node's part of the cluster's range: a /22 would be 4, a /24 is 1."""
    return f"10.{128 + (number >> 8)}.{number & 255}.0/24"


def node_address(number: int) -> str:
    """The node's own address."""
    return f"172.20.{number >> 8}.{number & 255}"


def pod_address(number: int, place: int) -> str:
    """Pod `place` of a node is endpoint number `place * nodes + number` of all Services."""
    return pod_range(number).removesuffix("0/24") + str(place + 2)


def pod_uid(number: int, place: int) -> str:
    """That pod's uid, which its cgroup is named by."""
    return f"00000000-0000-4000-8000-{number:06x}{place:06x}"


def nodes(count: int, first: int = 0) -> list[Object]:
    """So many nodes."""
    return [
        {
            "metadata": {"name": node_name(number), "uid": node_name(number)},
            "spec": {"podCIDR": pod_range(number), "podCIDRs": [pod_range(number)]},
            "status": {
                "addresses": [{"type": "InternalIP", "address": node_address(number)}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": "v1.34.4"},
            },
        }
        for number in range(first, first + count)
    ]


def services(count: int) -> list[Object]:
    """Services with an address and one port each."""
    return [
        {
            "metadata": _metadata(number),
            "spec": {
                "type": "ClusterIP",
                "clusterIP": service_address(number),
                "clusterIPs": [service_address(number)],
                "ipFamilies": ["IPv4"],
                "ports": [{"name": "http", "protocol": "TCP", "port": PORT, "nodePort": 0}],
            },
        }
        for number in range(count)
    ]


def service_address(number: int) -> str:
    """The Service's address."""
    return f"10.{96 + (number >> 14)}.{number >> 8 & 63}.{number & 255}"


def endpoint_slices(count: int, endpoints: int, of_nodes: int) -> list[Object]:
    """A slice for each Service; its endpoints are spread over the nodes."""
    return [
        {
            "metadata": {
                **_metadata(number),
                "labels": {
                    "kubernetes.io/service-name": _metadata(number)["name"],
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller",
                },
            },
            "addressType": "IPv4",
            "endpoints": endpoints_of(number, endpoints, of_nodes),
            "ports": [{"name": "http", "protocol": "TCP", "port": TARGET_PORT}],
        }
        for number in range(count)
    ]


def namespace(number: int) -> str:
    """The Service's namespace."""
    return f"team-{number % NAMESPACES}"


def _metadata(number: int) -> Object:
    return {"namespace": namespace(number), "name": f"service-{number}", "uid": f"u{number}"}


def endpoints_of(number: int, endpoints: int, of_nodes: int) -> list[Object]:
    """The Service's endpoints."""
    return [_endpoint(number * endpoints + each, of_nodes) for each in range(endpoints)]


def _endpoint(number: int, of_nodes: int) -> Object:
    """A pod; `number` counts those of all Services."""
    node, place = number % of_nodes, number // of_nodes
    block, last = divmod(place, 250)
    assert block == 0, "a node has no more addresses"
    address = pod_range(node).removesuffix("0/24") + str(last + 2)
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": node_name(node),
    }
