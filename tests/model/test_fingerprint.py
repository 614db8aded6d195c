"""Nodes compared with each other."""

from collections.abc import Mapping

import pytest
from msgspec import convert
from msgspec.structs import replace

from testbed.record import RECORDED
from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.model.cluster import Cluster
from wirecheck.model.fingerprint import AS_ASKED, Fingerprint, disagreements, fingerprint_of
from wirecheck.model.node import Node
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.service import ServiceObject

WEB = Ref("Service", "web", "shop", part="http 10.96.0.9:80/tcp")
CLAIMED = Ref("frontend", "198.51.100.1:80/tcp", part="of shop/a, shop/b")


def reported(**fingerprints: Fingerprint) -> list[tuple[str, str]]:
    return [(str(each.ref), each.found) for each in disagreements(fingerprints)]


def differs(way: str = "not handled") -> Fingerprint:
    return Fingerprint(forwarding={WEB: way})


def test_nodes_that_all_do_as_asked_agree():
    assert not reported(a=Fingerprint(), b=Fingerprint())


def test_the_node_that_differs_is_named():
    assert reported(a=Fingerprint(), b=differs(), c=Fingerprint()) == [
        ("Service shop/web http 10.96.0.9:80/tcp", f"b: not handled; 2 other nodes: {AS_ASKED}")
    ]


def test_nodes_that_are_all_wrong_in_the_same_way_agree():
    assert not reported(a=differs(), b=differs())


def test_nodes_that_are_wrong_in_different_ways_do_not():
    assert reported(a=differs("to one"), b=differs("to two"), c=differs("to two")) == [
        ("Service shop/web http 10.96.0.9:80/tcp", "a: to one; 2 other nodes: to two")
    ]


def test_of_a_node_that_is_not_known_nothing_is_said():
    assert not reported(a=differs(), b=Fingerprint(unknown="unreachable"))


def test_nodes_that_follow_different_claims_to_one_address_are_found():
    ways: Mapping[str, Fingerprint] = {
        "a": Fingerprint(claims={CLAIMED: "forwarded to 10.0.0.1:80"}),
        "b": Fingerprint(claims={CLAIMED: "forwarded to 10.0.0.2:80"}),
    }
    assert reported(**ways) == [
        (
            "frontend 198.51.100.1:80/tcp of shop/a, shop/b",
            "a: forwarded to 10.0.0.1:80; 1 other node: forwarded to 10.0.0.2:80",
        )
    ]


def test_many_nodes_are_counted():
    others = {f"n{number}": differs() for number in range(5)}
    (only,) = reported(
        **others, z0=Fingerprint(), z1=Fingerprint(), z2=Fingerprint(), z3=Fingerprint()
    )

    assert only[1].startswith("z0, z1, z2 and 1 more: as the API asks; 5 other nodes: ")


def test_of_too_many_deviations_the_first_ports_are_kept_with_all_their_differences() -> None:
    """A recorded node with 510 more Services, whose rules all forward to a dead backend."""
    forwarding = fingerprint_of(with_misdirected_services(510)).forwarding

    assert len(forwarding) == 500
    (way,) = set(forwarding.values())
    assert "10.9.9.9:8080, which no EndpointSlice of the Service names" in way
    assert way.startswith("10.9.9.9:8080; "), "the missing backend comes before the stale one"


def test_nodes_that_all_have_the_same_stale_frontend_agree() -> None:
    """It belongs to no Service, and its name must not depend on the node."""
    snapshot = Snapshot.open(RECORDED / "healthy")
    api = snapshot.api()
    kept = [each for each in api.services if each.metadata.name != "web"]
    cluster = Cluster(replace(api, services=kept), snapshot.index, snapshot.index.looks[0])
    visit = VisitRecord(VisitStatus.SEEN)
    known = {
        name: fingerprint_of(Node(cluster, cluster.nodes[name], visit, snapshot.document(name)))
        for name in ("wc-w1", "wc-w2")
    }
    assert all(len(each.forwarding) == 1 for each in known.values())
    assert not reported(**known)


def with_misdirected_services(number: int) -> Node:
    snapshot = Snapshot.open(RECORDED / "healthy")
    document, api = snapshot.document("wc-w1"), snapshot.api()
    table, _, others = document.commands["iptables-nft-save"].output.partition("*nat\n")
    rules, end, rest = others.partition("COMMIT\n")
    addresses = [f"10.97.{each >> 8}.{each & 255}" for each in range(number)]
    chains = "".join(f":KUBE-SEP-{each} - [0:0]\n" for each in range(number))
    more = "".join(
        f"-A KUBE-SERVICES -d {address}/32 -p tcp -m tcp --dport 80 -j KUBE-SEP-{each}\n"
        f"-A KUBE-SEP-{each} -p tcp -m tcp -j DNAT --to-destination 10.9.9.9:8080\n"
        for each, address in enumerate(addresses)
    )
    text = f"{table}*nat\n{chains}{rules}{more}{end}{rest}"
    command = replace(document.commands["iptables-nft-save"], output=text)
    document = replace(document, commands={**document.commands, "iptables-nft-save": command})
    services, slices = zip(*map(_service, range(number), addresses), strict=True)
    api = replace(
        api,
        services=[*api.services, *services],
        endpoint_slices=[*api.endpoint_slices, *slices],
    )
    cluster = Cluster(api, snapshot.index, snapshot.index.looks[0])
    return Node(cluster, cluster.nodes["wc-w1"], VisitRecord(VisitStatus.SEEN), document)


def _service(number: int, address: str) -> tuple[ServiceObject, EndpointSliceObject]:
    name = f"more-{number}"
    spec = {
        "clusterIP": address,
        "clusterIPs": [address],
        "ipFamilies": ["IPv4"],
        "ports": [{"port": 80, "protocol": "TCP"}],
    }
    slice_ = {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.2.99"], "conditions": {"ready": True}}],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }
    return (
        convert({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}, ServiceObject),
        convert(slice_, EndpointSliceObject),
    )


def test_one_node_alone_cannot_be_compared():
    with pytest.raises(NotApplicable, match="takes two"):
        SmallCluster().findings("services.nodes_agree")
