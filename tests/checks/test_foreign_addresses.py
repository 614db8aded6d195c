"""Addresses of other nodes and of Services on a node's interfaces."""

from __future__ import annotations

from dataclasses import replace as with_fields
from typing import Any

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import HOST, SmallCluster, api_pod, link
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.catalogue.registry import load
from wirecheck.evaluation.unsettled import concerned
from wirecheck.model.fingerprint import fingerprint_of
from wirecheck.results.records import FindingRecord, ItemResult, Object
from wirecheck.snapshot.netns import Address

CHECK = "nodes.no_foreign_addresses"
DOUBLED = "nodes.no_doubled_addresses"
ENS3, CNI0, OTHER = 2, 5, 99


def bind(small: SmallCluster, index: int, where: str, prefix: int = 32, **device: str) -> None:
    """Add an address, and the interface if `device` describes one."""
    assert small.document
    host = small.document.namespaces[0]
    links = [link(index, **device)] if device else []
    small.change_netns(
        HOST,
        addresses=[*host.addresses, Address(index, where, prefix)],
        links=[*host.links, *links],
    )


def found(small: SmallCluster) -> list[tuple[str, str, str]]:
    return [(each.subject.part, each.expected, each.found) for each in small.findings(CHECK)]


def load_balancer(small: SmallCluster, ip: str) -> dict[str, Any]:
    service: dict[str, Any] = small.api["services"][1]
    service["status"] = {"loadBalancer": {"ingress": [{"ip": ip}]}}
    return service


@pytest.mark.parametrize(
    "device",
    [{}, {"name": "kube-ipvs0", "kind": "dummy"}, {"name": "eth1", "kind": ""}],
    ids=["on its own interface", "kube-ipvs0", "another interface"],
)
def test_an_address_of_another_node_is_found(small, device):
    bind(small, OTHER if device else ENS3, "192.0.2.2", **device)

    name = device.get("name", "ens3")
    assert found(small) == [(f"192.0.2.2 on {name}", "only on Node n2", f"on {name}")]


def test_the_service_that_made_the_proxy_bind_it_is_named(small):
    bind(small, OTHER, "192.0.2.2", name="kube-ipvs0", kind="dummy")
    load_balancer(small, "192.0.2.2")

    (finding,) = small.findings(CHECK)
    assert finding.found.endswith("as load balancer address of Service kube-system/kube-dns")
    assert ("owner_service", "kube-dns") in finding.names


def test_the_address_that_another_node_announces_to_flannel_is_found(small):
    small.api["nodes"][1]["metadata"]["annotations"]["flannel.alpha.coreos.com/public-ip"] = (
        "198.51.100.2"
    )
    bind(small, ENS3, "198.51.100.2")

    (finding,) = small.findings(CHECK)
    assert finding.subject.part == "198.51.100.2 on ens3"
    assert {("address", "198.51.100.2"), ("device", "ens3")} <= set(finding.names)


@pytest.mark.parametrize("name", ["IPv4Address", "IPv4VXLANTunnelAddr", "IPv4IPIPTunnelAddr"])
def test_an_address_that_another_node_announces_for_calico_is_found(small, name):
    small.api["nodes"][1]["metadata"]["annotations"] = {f"projectcalico.org/{name}": "10.9.0.2/24"}
    bind(small, OTHER, "10.9.0.2", name="vxlan.calico", kind="vxlan")

    assert [expected for _, expected, _ in found(small)] == ["only on Node n2"]


def test_an_address_that_several_nodes_announce_is_their_gateways(small):
    small.api["nodes"].append({**small.api["nodes"][1], "metadata": {"name": "n3"}})
    bind(small, ENS3, "192.0.2.2")

    assert found(small) == []


def test_an_address_that_the_api_lists_for_both_nodes_is_not_foreign(small):
    small.api["nodes"][0]["status"]["addresses"].append(
        {"type": "ExternalIP", "address": "192.0.2.2"}
    )
    bind(small, ENS3, "192.0.2.2")

    assert found(small) == []


def test_a_node_whose_address_is_a_name_does_not_disturb_the_others(small):
    small.api["nodes"][1]["status"]["addresses"].insert(
        0, {"type": "ExternalIP", "address": "n2.example.com"}
    )
    bind(small, ENS3, "192.0.2.2")

    assert [part for part, *_ in found(small)] == ["192.0.2.2 on ens3"]


def pod_of_n2(small: SmallCluster, address: str) -> None:
    pod = api_pod("other", "shop", address)
    pod["spec"]["nodeName"] = "n2"
    small.api["pods"].append(pod)


def test_a_bridge_with_an_address_of_another_nodes_range_is_found(small):
    pod_of_n2(small, "10.244.1.9")
    bind(small, CNI0, "10.244.1.1", 24)

    assert found(small) == [("10.244.1.1 on cni0", "only on Node n2", "on cni0")]


def test_ranges_that_another_nodes_pods_do_not_follow_are_not_compared(small):
    pod_of_n2(small, "172.20.0.9")
    bind(small, CNI0, "10.244.1.1", 24)

    assert found(small) == []


def api_server_at(small: SmallCluster, where: str) -> None:
    slices = small.api["endpointSlices"]
    metadata = {
        "name": "kubernetes",
        "namespace": "default",
        "labels": {"kubernetes.io/service-name": "kubernetes"},
    }
    slices.append({**slices[0], "metadata": metadata, "endpoints": [{"addresses": [where]}]})


def test_the_api_servers_address_on_kube_ipvs0_is_found(small):
    api_server_at(small, "192.0.2.50")
    bind(small, OTHER, "192.0.2.50", name="kube-ipvs0", kind="dummy")

    assert [expected for _, expected, _ in found(small)] == ["nowhere: the API server"]


@pytest.mark.parametrize(
    ("where", "name", "kind"),
    [("198.51.100.7", "kube-ipvs0", "dummy"), ("192.0.2.50", "eth1", "")],
    ids=["another address on kube-ipvs0", "the API server's on another interface"],
)
def test_on_kube_ipvs0_only_the_api_servers_address_is_wrong(small, where, name, kind):
    api_server_at(small, "192.0.2.50")
    bind(small, OTHER, where, name=name, kind=kind)

    assert found(small) == []


@pytest.mark.parametrize(
    ("name", "kind", "is_wrong"),
    [
        ("kube-ipvs0", "dummy", False),
        ("kube-dummy-if", "dummy", False),
        ("nodelocaldns", "dummy", False),
        ("kube-ipvs0", "", False),
        ("br0", "bridge", True),
        ("eth1", "", True),
    ],
)
def test_a_cluster_ip_belongs_to_the_proxy_or_to_a_dummy_device(small, name, kind, is_wrong):
    bind(small, OTHER, "10.96.0.10", name=name, kind=kind)

    expected = "nowhere: cluster IP of Service kube-system/kube-dns"
    assert [each for _, each, _ in found(small)] == [expected] * is_wrong


@pytest.mark.parametrize("where", ["192.0.2.100", "169.254.25.10", "203.0.113.7", "172.17.0.1"])
def test_other_addresses_are_healthy(small, where):
    """A VIP of kube-vip, a node-local cache, a load balancer's address, docker0."""
    load_balancer(small, "203.0.113.7")
    bind(small, ENS3, where)

    assert found(small) == []


def doubled(small: SmallCluster, *nodes: SmallCluster) -> list[tuple[str, str]]:
    """The findings about several nodes, each with its own document."""
    prints = {f"n{at}": fingerprint_of(each.node) for at, each in enumerate((small, *nodes), 1)}
    for name, each in prints.items():
        assert each.bound
        ref = with_fields(each.bound.ref, name=name)
        prints[name] = with_fields(each, bound=with_fields(each.bound, ref=ref))
    (check,) = [each for each in load() if each.id == DOUBLED]
    cluster = with_fields(small.cluster, fingerprints=prints)
    return [(str(each.subject), each.found) for each in check.findings(cluster)]


def two_with(where: str, prefix: int = 32, *, vip: str = "") -> list[SmallCluster]:
    """Two nodes in one network, both with an address on their interface."""
    nodes = [SmallCluster(), SmallCluster()]
    for each in nodes:
        if vip:
            load_balancer(each, vip)
        bind(each, ENS3, where, prefix)
    return nodes


@pytest.mark.parametrize("vip", ["", "192.0.2.100"], ids=["of the control plane", "of a Service"])
def test_an_address_on_two_nodes_of_one_network_is_found_on_both(vip):
    assert doubled(*two_with("192.0.2.100", vip=vip)) == [
        ("Node n1 192.0.2.100 on ens3", "also on n2"),
        ("Node n2 192.0.2.100 on ens3", "also on n1"),
    ]


def test_an_address_on_one_node_is_healthy():
    one, _ = two_with("192.0.2.100")

    assert doubled(one, SmallCluster()) == []


@pytest.mark.parametrize(
    ("where", "vip"),
    [("198.51.100.9", "198.51.100.9"), ("172.31.0.1", ""), ("fe80::1", "")],
    ids=["a routed address", "another network", "link-local"],
)
def test_an_address_that_no_neighbour_resolves_may_be_on_several_nodes(where, vip):
    assert doubled(*two_with(where, vip=vip)) == []


def test_a_dummy_device_may_have_an_address_on_several_nodes():
    nodes = [SmallCluster(), SmallCluster()]
    for each in nodes:
        load_balancer(each, "192.0.2.100")
        bind(each, OTHER, "192.0.2.100", name="kube-lb0", kind="dummy")

    assert doubled(*nodes) == []


def test_one_node_is_not_compared(small):
    with pytest.raises(NotApplicable, match="takes two"):
        doubled(small)


def test_nodes_with_a_doubled_address_are_checked_again():
    record = FindingRecord(Object("Node", "n2"), "fail", "one", "two", "k")
    item = ItemResult(DOUBLED, "fail", findings=[record])

    assert concerned([item], load()) == {"", "n2"}


def contact_is_answered_here(small: SmallCluster) -> None:
    bind(small, OTHER, "192.0.2.2", name="kube-ipvs0", kind="dummy")


def test_a_probe_that_the_node_answers_itself_does_not_count(small):
    contact_is_answered_here(small)

    with pytest.raises(NotApplicable, match="answers in its place"):
        small.findings("reachability.node_to_node")


def test_other_probes_still_count(small):
    contact_is_answered_here(small)
    assert small.document
    mine = next(each for each in small.document.contacts or () if each.purpose == "node")
    small.api["nodes"].append(
        {
            "metadata": {"name": "n3"},
            "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.3"}]},
        }
    )
    further = replace(mine, address="192.0.2.3", made=0, error="timed out")
    small.change_document(contacts=[*small.document.contacts, further])

    here, there = small.findings("reachability.node_to_node")
    assert "answers in its place" in here.inconclusive
    assert not there.inconclusive
    assert "n3" in str(there.subject)
