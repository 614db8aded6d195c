"""A Node object with odd addresses affects its own node, never the plan or the checks of others.

Shapes of virtual kubelets (an address from an unset environment variable), of clouds that list a
host name, and of edge nodes without addresses.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.checks.small_cluster import SmallCluster
from wirecheck.api_index.node_addresses import all_addresses, node_ips, pod_ranges
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.catalogue.registry import load
from wirecheck.collect.plan.visit_plan import RoundOptions, plan_for
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.node import NodeObject

KUBELET = {"kubeletEndpoint": {"Port": 10250}}


def internal(*addresses: str) -> dict[str, Any]:
    return {
        "addresses": [{"type": "InternalIP", "address": each} for each in addresses],
        "daemonEndpoints": KUBELET,
    }


ODD = {
    "an empty address": {"status": internal("")},
    "no address": {"status": {"daemonEndpoints": KUBELET}},
    "an address without a text": {
        "status": {"addresses": [{"type": "InternalIP"}], "daemonEndpoints": KUBELET}
    },
    "a host name": {"status": internal("vk.example.internal")},
    "a zone": {"status": internal("fe80::1%eth0")},
    "a range": {"status": internal("192.0.2.0/24")},
    "loopback": {"status": internal("127.0.0.1")},
    "nothing at all": {},
    "an invalid pod CIDR": {"spec": {"podCIDR": "none", "podCIDRs": ["none", ""]}},
    "an annotation without an address": {
        "metadata": {"annotations": {"flannel.alpha.coreos.com/public-ip": "vk.example.internal"}},
        "spec": {"podCIDR": "10.244.9.0/24"},
    },
}


def with_odd_node(odd: dict[str, Any]) -> SmallCluster:
    small = SmallCluster()
    metadata = {"name": "vk", "uid": "vk"} | odd.get("metadata", {})
    small.api["nodes"].append(odd | {"metadata": metadata})
    for node in small.api["nodes"][:2]:
        node["status"]["daemonEndpoints"] = KUBELET
    small.api["services"][1]["spec"]["ports"][1]["nodePort"] = 30053
    small.api["services"][1]["spec"]["type"] = "NodePort"
    web = small.api["pods"][1]
    web["spec"]["containers"] = [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}]}]
    return small


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_the_plan_of_the_other_nodes_is_made(odd):
    api = msgspec.convert(with_odd_node(odd).api, ApiObjects)

    plan = plan_for(api, "n1", RoundOptions())

    assert {c.address for c in plan.contacts.contacts if c.purpose == "node"} == {"192.0.2.2"}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_the_checks_of_the_other_nodes_are_evaluated(odd):
    small, usual = with_odd_node(odd), with_odd_node({"status": internal("192.0.2.9")})

    assert outcomes(small) == outcomes(usual)


def outcomes(small: SmallCluster) -> dict[str, object]:
    """The findings about n1, and about the cluster those that do not name the odd node."""
    found: dict[str, object] = {}
    for each in load():
        try:
            findings = small.findings(each.id)
        except (NotApplicable, FactMissingError) as error:
            found[each.id] = type(error)
        else:
            found[each.id] = [str(f.subject) for f in findings if f.subject.name != "vk"]
    return found


def node(*addresses: tuple[str, str], **spec: object) -> NodeObject:
    listed = [{"type": kind, "address": text} for kind, text in addresses]
    described = {"metadata": {"name": "n"}, "spec": spec, "status": {"addresses": listed}}
    return msgspec.convert(described, NodeObject)


def test_external_addresses_count_where_there_is_no_internal_one():
    external = ("ExternalIP", "203.0.113.1")

    assert list(map(str, node_ips(node(external, ("InternalIP", ""))))) == ["203.0.113.1"]
    assert list(map(str, node_ips(node(external, ("InternalIP", "192.0.2.1"))))) == ["192.0.2.1"]
    assert len(all_addresses(node(external, ("InternalIP", "192.0.2.1")))) == 2
    assert not node_ips(node(("Hostname", "192.0.2.1"), ("InternalDNS", "n.example")))


def test_ranges_that_cannot_be_read_are_left_out():
    known = node(podCIDR="10.244.1.0/24", podCIDRs=["10.244.1.0/24", "", "x", "fd00:1::/64"])

    assert list(map(str, pod_ranges(known))) == ["10.244.1.0/24", "fd00:1::/64"]


def test_addresses_of_pods_are_not_connected_to_as_addresses_of_nodes():
    """kubernetes/kubernetes issue 61921: a cloud lists the addresses of all network cards."""
    small = SmallCluster()
    small.api["nodes"][1]["status"] |= internal("192.0.2.2", "10.244.1.9", "192.0.2.106")
    pod = small.api["pods"][1] | {"status": {"phase": "Running", "podIPs": [{"ip": "10.244.1.9"}]}}
    small.api["pods"].append(pod)

    plan = plan_for(msgspec.convert(small.api, ApiObjects), "n1", RoundOptions())

    asked = [each.address for each in plan.contacts.contacts if each.purpose == "node"]
    assert asked == ["192.0.2.2", "192.0.2.106"]


def test_a_pod_with_an_odd_address_affects_itself_alone():
    small, usual = SmallCluster(), SmallCluster()
    for each, address in ((small, "not-an-address"), (usual, "")):
        pod = each.api["pods"][1]
        odd = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        metadata = pod["metadata"] | {"name": "odd", "uid": "odd"}
        each.api["pods"].append(pod | {"metadata": metadata, "status": odd})

    found, wanted = outcomes(small), outcomes(usual)
    named = found.pop("objects.readable_fields")
    assert wanted.pop("objects.readable_fields") == []
    assert named == ["Pod shop/odd status.podIPs[0].ip", "Pod shop/odd status.podIP"]
    assert found == wanted
