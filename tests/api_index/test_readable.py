"""One odd object affects what is known of itself; everything else is as it was."""

from __future__ import annotations

from typing import Any

from msgspec import convert, to_builtins
from msgspec.structs import replace

from tests.checks import small_cluster
from tests.checks.small_cluster import api_pod
from wirecheck.api_index.pod import cgroup_uid
from wirecheck.api_index.readable import ReadableObjects, readable
from wirecheck.snapshot.api_objects import ApiObjects


def of(**kinds: list[dict[str, Any]]) -> ReadableObjects:
    return readable(convert(kinds, ApiObjects))


def noted(api: ReadableObjects) -> set[tuple[str, str, str]]:
    return {(each.name, each.field, each.read_as) for each in api.odd}


def test_usual_objects_stay_the_same_objects() -> None:
    api = convert(small_cluster.api(), ApiObjects)
    found = readable(api)

    assert found.odd == ()
    for kind in ("nodes", "pods", "services", "endpoint_slices"):
        assert getattr(found, kind) is getattr(api, kind)


def test_it_is_made_once_and_is_its_own_result() -> None:
    api = convert(small_cluster.api(), ApiObjects)

    assert readable(api) is readable(api)
    assert readable(readable(api)) is readable(api)
    assert readable(replace(api)) is not readable(api)


def test_a_host_port_at_something_else_than_an_address_is_left_out() -> None:
    pod = api_pod("web", "shop", "10.244.0.3")
    ports = [
        {"containerPort": 80, "hostPort": 8080, "hostIP": "node-1.example"},
        {"containerPort": 81, "hostPort": 8081, "hostIP": "010.0.0.1"},
        {"containerPort": 10**12, "hostPort": -1},
        {"containerPort": 83, "hostPort": 8083},
    ]
    pod["spec"]["containers"][0]["ports"] = ports

    found = of(pods=[pod])

    known = [
        (p.container_port, p.host_port, p.host_ip) for p in found.pods[0].spec.containers[0].ports
    ]
    assert known == [(80, 0, ""), (81, 8081, "10.0.0.1"), (0, 0, ""), (83, 8083, "")]
    at = "spec.containers[0].ports"
    assert noted(found) == {
        ("web", f"{at}[0].hostIP", ""),
        ("web", f"{at}[1].hostIP", "10.0.0.1"),
        ("web", f"{at}[2].containerPort", ""),
        ("web", f"{at}[2].hostPort", ""),
    }


def test_addresses_of_pods_and_nodes_are_canonical_or_left_out() -> None:
    pod = api_pod("web", "shop", "fe80::1%eth0")
    pod["status"]["podIPs"] += [{"ip": "::ffff:10.244.0.3"}, {"ip": "x" * 10_000}]
    node = small_cluster.api_node("n1", "192.0.2.1", "010.244.0.0/24")
    node["spec"]["podCIDRs"] += ["10.0.0.0/255.0.0.0", "whatever"]
    node["status"]["addresses"] += [
        {"type": "InternalIP", "address": "n1.example"},
        {"type": "Hostname", "address": "n1"},
        {"type": "ExternalIP", "address": "203.000.113.7"},
    ]

    found = of(pods=[pod], nodes=[node])

    assert [each.ip for each in found.pods[0].status.pod_ips] == ["", "10.244.0.3", ""]
    assert found.pods[0].status.pod_ip == ""
    assert found.nodes[0].spec.pod_cidrs == ["10.244.0.0/24"]
    assert [each.address for each in found.nodes[0].status.addresses] == [
        "192.0.2.1",
        "",
        "n1",
        "203.0.113.7",
    ]
    assert all(len(each.found) < 200 for each in found.odd)


def test_endpoints_of_another_family_than_their_slice_are_left_out() -> None:
    endpoints = [
        {"addresses": [each]} for each in ("10.0.0.1", "fd00::1", "::ffff:10.0.0.2", "web")
    ]
    slices = [
        {"metadata": {"name": kind}, "addressType": kind, "endpoints": endpoints}
        for kind in ("IPv4", "IPv6", "FQDN", "Unknown")
    ]

    found = [
        [each.addresses for each in slice_.endpoints or ()]
        for slice_ in of(endpointSlices=slices).endpoint_slices
    ]

    texts = [each["addresses"] for each in endpoints]
    assert found == [
        [["10.0.0.1"], [], ["10.0.0.2"], []],
        [[], ["fd00::1"], [], []],
        texts,
        [[], [], [], []],
    ]


def test_an_address_of_a_service_that_is_none_stays_and_is_named() -> None:
    service = small_cluster.service("web", "shop", "10.96.0.7", [{"port": 80}, {"port": 70_000}])
    service["spec"] |= {
        "externalIPs": ["gateway", "010.0.0.1"],
        "loadBalancerSourceRanges": [" 10.0.0.0/8", "everybody"],
    }
    spec = of(services=[service]).services[0].spec

    assert spec.external_ips == ["gateway", "10.0.0.1"]
    assert spec.load_balancer_source_ranges == ["10.0.0.0/8", "everybody"]
    assert [each.port for each in spec.ports] == [80]


def mirror(name: str, hash_: str, mirror: str | None = None, node: str = "n1") -> dict[str, Any]:
    pod = api_pod(name, "kube-system", "192.0.2.1")
    notes = {"kubernetes.io/config.hash": hash_}
    if mirror is not None:
        notes["kubernetes.io/config.mirror"] = mirror
    pod["metadata"]["annotations"] = notes
    pod["spec"]["nodeName"] = node
    return pod


HASH = "0123456789abcdef0123456789abcdef"


def test_a_mirror_pod_is_known_by_its_hash_on_each_node() -> None:
    pods = [mirror("etcd", HASH, HASH), mirror("etcd2", HASH, HASH, "n2")]
    found = of(pods=pods)

    assert [cgroup_uid(each) for each in found.pods] == [HASH, HASH]
    assert found.odd == ()


def test_a_hash_that_no_kubelet_set_is_not_believed() -> None:
    victim = api_pod("web", "shop", "10.244.0.3")
    pods = [
        mirror("no-mirror", HASH),
        mirror("other", HASH.upper(), HASH),
        mirror("long", "a" * 100_000, "a" * 100_000),
        mirror("path", "../../proc", "../../proc"),
        mirror("victim", victim["metadata"]["uid"], victim["metadata"]["uid"]),
        mirror("one", HASH[::-1], HASH[::-1]),
        mirror("two", HASH[::-1], HASH[::-1]),
        victim,
    ]
    found = of(pods=pods)

    assert [cgroup_uid(each) for each in found.pods] == [each["metadata"]["uid"] for each in pods]
    assert {each.name for each in found.odd} == {each["metadata"]["name"] for each in pods[:-1]}
    assert "a" * 500 not in str(to_builtins(found.odd))
