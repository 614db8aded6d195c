"""What the nodes of a cluster show only together: addresses, masquerading, domains."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.checks.small_cluster import SmallCluster, api_pod
from wirecheck.addresses import IPAddress, address
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.model.cluster import Cluster
from wirecheck.model.dns_seen import DnsSeen, other_domains, why_unused
from wirecheck.model.doubled_addresses import doubled_addresses
from wirecheck.model.fingerprint import BoundAddresses, Fingerprint
from wirecheck.model.unlike_egress import unlike_egress

A, B, C, D = (Ref("Node", name) for name in "abcd")
VIP, VIP6 = address("192.0.2.100"), address("fd00::100")


def cluster(**fingerprints: Fingerprint) -> Cluster:
    small = SmallCluster().cluster
    return Cluster(small.api, small.index, small.round, fingerprints=fingerprints)


def bound(ref: Ref, *addresses: IPAddress) -> BoundAddresses:
    return BoundAddresses(ref, dict.fromkeys(addresses, "eth0"))


def test_an_address_of_several_nodes_is_found_on_each_of_them() -> None:
    found = doubled_addresses([bound(B, VIP), bound(A, VIP, VIP6), bound(C, VIP), bound(D)])

    assert [(str(each.ref), each.address, each.found) for each in found] == [
        ("Node a 192.0.2.100 on eth0", VIP, "also on b, c"),
        ("Node b 192.0.2.100 on eth0", VIP, "also on a, c"),
        ("Node c 192.0.2.100 on eth0", VIP, "also on a, b"),
    ]


def test_an_address_of_one_node_is_its_own() -> None:
    assert not list(doubled_addresses([bound(A, VIP), bound(B, VIP6)]))


def test_every_doubled_address_is_found() -> None:
    found = doubled_addresses([bound(A, VIP6, VIP), bound(B, VIP, VIP6)])

    assert [each.address for each in found] == [VIP, VIP, VIP6, VIP6]


KNOWN, UNKNOWN = Fingerprint(), Fingerprint(unknown="n2 was not visited")


@pytest.mark.parametrize(
    ("fingerprints", "reason"),
    [
        ({}, "0 node's rules were compared, which takes two$"),
        ({"n1": KNOWN}, "1 node's rules were compared, which takes two$"),
        ({"n1": KNOWN, "n2": UNKNOWN}, "1 node's rules .* takes two: n2 was not visited$"),
        ({"n1": UNKNOWN, "n2": UNKNOWN}, "0 node's rules .* takes two: n2 was not visited$"),
    ],
)
def test_the_rules_of_fewer_than_two_nodes_are_not_compared(
    fingerprints: dict[str, Fingerprint], reason: str
) -> None:
    with pytest.raises(NotApplicable, match=reason):
        _ = cluster(**fingerprints).disagreements


def test_those_of_two_are_compared_whatever_is_unknown_of_others() -> None:
    assert not list(cluster(n1=KNOWN, n2=KNOWN, n3=UNKNOWN).disagreements)
    assert not list(cluster(n1=KNOWN, n2=KNOWN, n3=KNOWN).disagreements)


def test_the_addresses_of_fewer_than_two_nodes_are_not_compared() -> None:
    one, other = Fingerprint(bound=bound(A, VIP)), Fingerprint(bound=bound(B, VIP))

    with pytest.raises(NotApplicable, match="1 node's addresses were compared"):
        _ = cluster(n1=one, n2=Fingerprint()).doubled_addresses
    assert len(list(cluster(n1=one, n2=other).doubled_addresses)) == 2
    assert len(list(cluster(n1=one, n2=other, n3=one).doubled_addresses)) == 2


def test_masquerading_takes_two_nodes_with_pods_of_unread_pools() -> None:
    one, other = Fingerprint(pools_masqueraded={4: True}), Fingerprint(pools_masqueraded={4: False})

    with pytest.raises(NotApplicable, match="fewer than two nodes"):
        _ = cluster(n1=one, n2=Fingerprint()).unlike_egress
    (found,) = cluster(n1=one, n2=other).unlike_egress
    assert found.ref.name == "n2"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({A: {4: True}, B: {4: False}}, [("b", 4, "a")]),
        ({A: {6: True}, B: {6: False, 4: False}}, [("b", 6, "a")]),
        ({A: {4: False}, B: {4: False}}, []),
        ({A: {4: True}, B: {4: True}}, []),
        # A node without pods of such a pool in the family does not need the rules.
        ({A: {4: True}, B: {6: True}, C: {}}, []),
        ({A: {4: False}, B: {4: True}, C: {4: False}}, [("a", 4, "b"), ("c", 4, "b")]),
    ],
)
def test_a_node_without_the_rules_that_others_have_is_found(
    seen: Mapping[Ref, Mapping[int, bool]], expected: list[tuple[str, int, str]]
) -> None:
    assert [(each.ref.name, each.family, each.others) for each in unlike_egress(seen)] == expected


def test_three_of_the_nodes_with_rules_are_named() -> None:
    having = {Ref("Node", f"n{number}"): {4: True} for number in range(5)}

    (found,) = unlike_egress({A: {4: False}, **having})
    assert found.others == "n0, n1, n2 and 2 more"


def domains(**seen: str) -> list[tuple[str, str, list[str]]]:
    return list(other_domains({name: DnsSeen(domain) for name, domain in seen.items()}))


def test_the_domain_of_the_most_kubelets_is_the_usual_one() -> None:
    assert not domains(a="cluster.local", b="cluster.local", c="")
    assert domains(a="one", b="two", c="two", d="one", e="two") == [("two", "one", ["a", "d"])]
    assert domains(a="one", b="two", c="three", d="one") == [
        ("one", "three", ["c"]),
        ("one", "two", ["b"]),
    ]
    # Which one of two with the same number is the usual one does not depend on the order.
    assert domains(a="one", b="two") == domains(b="two", a="one") == [("two", "one", ["a"])]
    assert not domains()
    assert not domains(a="")


@pytest.mark.parametrize(
    ("reasons", "why"),
    [
        (("a local cache", "another"), "a local cache"),
        (("a local cache", ""), ""),
        (("", "another"), ""),
        ((), ""),
    ],
)
def test_the_dns_services_are_unused_if_no_node_uses_them(
    reasons: tuple[str, ...], why: str
) -> None:
    seen = {str(n): DnsSeen(why_services_unused=each) for n, each in enumerate(reasons)}

    assert why_unused(seen) == why


def pods_at(*placed: tuple[str, str, str]) -> Cluster:
    """A cluster whose pods, by name, node and address, are these."""
    small = SmallCluster()
    small.api["pods"] = []
    for name, node, ip in placed:
        pod = api_pod(name, "shop", ip)
        pod["spec"]["nodeName"] = node
        small.api["pods"].append(pod)
    labels = {"type": "virtual-kubelet"}
    small.api["nodes"].append({"metadata": {"name": "virtual", "labels": labels}})
    return small.cluster


@pytest.mark.parametrize(
    ("placed", "shared"),
    [
        ([("a", "n1", "10.244.0.5"), ("b", "n2", "10.244.0.5")], ["a", "b"]),
        ([("a", "n1", "10.244.0.5"), ("b", "n2", "10.244.0.6")], []),
        # A pod of a node that is gone still has its address.
        ([("a", "n1", "10.244.0.5"), ("b", "gone", "10.244.0.5")], ["a", "b"]),
        ([("a", "n1", "10.244.0.5"), ("b", "virtual", "10.244.0.5")], []),
        (
            [
                ("a", "n1", "10.244.0.5"),
                ("b", "virtual", "10.244.0.5"),
                ("c", "n2", "10.244.0.5"),
            ],
            ["a", "c"],
        ),
    ],
)
def test_an_address_of_several_pods_is_shared(
    placed: list[tuple[str, str, str]], shared: list[str]
) -> None:
    found = [sorted(pod.name for pod in pods) for _, pods in pods_at(*placed).shared_addresses]

    assert found == ([shared] if shared else [])


def foreign_slice(small: SmallCluster, *addresses: str, manager: str = "someone") -> None:
    """A slice of another manager for the Service of DNS."""
    labels = {
        "kubernetes.io/service-name": "kube-dns",
        "endpointslice.kubernetes.io/managed-by": manager,
    }
    small.api["endpointSlices"] = [
        {
            "metadata": {"name": "s", "namespace": "kube-system", "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [each]} for each in addresses],
            "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}],
        }
    ]


def test_addresses_in_slices_of_other_managers_are_compared_with_pods() -> None:
    small = SmallCluster()
    foreign_slice(small, "10.244.0.2", "10.244.0.99", "198.51.100.7")

    (found,) = small.cluster.wrong_addresses
    assert "10.244.0.99" in str(found)


def test_without_other_managers_there_is_nothing_to_compare() -> None:
    small = SmallCluster()
    foreign_slice(small, "10.244.0.99", manager="endpointslice-controller.k8s.io")

    with pytest.raises(NotApplicable, match="kube-controller-manager"):
        list(small.cluster.wrong_addresses)


def test_the_replicas_of_a_cluster_without_the_usual_service_are_those_that_kubelets_use() -> None:
    small = SmallCluster()
    assert [pod.name for pod in small.cluster.dns_replicas] == ["dns"]

    service = small.api["services"][1]
    service["metadata"] |= {"name": "names", "labels": {}}
    service["spec"]["selector"] = {"k8s-app": "kube-dns"}
    small.api["pods"][0]["metadata"]["labels"] = {"k8s-app": "kube-dns", "app": "x"}
    small.dns_seen = {"n1": DnsSeen(handed_out=("10.96.0.10",))}
    service["spec"]["selector"] = {"app": "x"}
    assert [pod.name for pod in small.cluster.dns_replicas] == ["dns"]
    small.dns_seen = {"n1": DnsSeen(handed_out=("10.96.0.77",))}
    assert [pod.name for pod in small.cluster.dns_replicas] == []
