"""Servers that pods use besides the DNS Service, and files that are not the kubelet's."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import DNS_NETNS, HOST, KUBERNETES, WEB_NETNS, SmallCluster, answer
from wirecheck.catalogue.findings import Finding, NotApplicable
from wirecheck.model.dns_seen import dns_seen
from wirecheck.snapshot.attempts import Try
from wirecheck.snapshot.netns import Address, Link
from wirecheck.snapshot.node_document import PodFile
from wirecheck.snapshot.node_settings import Kubelet

RIGHT = Try(0.01, answer=answer(KUBERNETES, "10.96.0.1"))
LOST = Try(2.5, error="timeout")
SEARCH = "search {ns}.svc.cluster.local svc.cluster.local cluster.local"


def hand_out(small: SmallCluster, *servers: str, domain: str = "cluster.local") -> None:
    """The kubelet gives these servers to pods, and the pods have them."""
    flags = {"cluster-dns": ",".join(servers), "cluster-domain": domain}
    listed = "".join(f"nameserver {each}\n" for each in servers)
    search = SEARCH.replace("cluster.local", domain)
    assert small.document
    small.change_document(
        kubelet=Kubelet(flags),
        pods=[
            replace(each, resolv_conf=PodFile(f"{search.format(ns=ns)}\n{listed}"))
            for each, ns in zip(small.document.pods, ("kube-system", "shop"), strict=True)
        ],
    )


def bind(small: SmallCluster, device: str, *addresses: str) -> None:
    """The node has a device with these addresses."""
    assert small.document
    host = small.document.namespaces[0]
    small.change_netns(
        HOST,
        links=[*host.links, Link(40, device, flags=["UP"], mtu=1500, kind="dummy")],
        addresses=[*host.addresses, *(Address(40, each, 32) for each in addresses)],
    )


def with_service(small: SmallCluster, address: str, port: int = 53) -> None:
    """Another Service, in a namespace of its own."""
    small.api["services"].append(
        {
            "metadata": {"name": "resolver", "namespace": "dns-system"},
            "spec": {"clusterIP": address, "ports": [{"port": port, "protocol": "UDP"}]},
        }
    )


def found(small: SmallCluster, check: str) -> list[Finding]:
    return small.findings(f"dns.{check}")


@pytest.mark.parametrize(
    ("device", "addresses", "handed_out"),
    [
        ("nodelocaldns", ["169.254.25.10"], "169.254.25.10"),  # kubespray
        ("localdns", ["169.254.10.10", "169.254.10.11"], "169.254.10.11"),  # AKS
        ("lo", ["127.0.0.1", "169.254.116.108"], "169.254.116.108"),  # Talos
        ("ens3", ["192.0.2.1"], "192.0.2.1"),  # dnsmasq on the node, as in OpenShift 3
        ("nodelocaldns", ["10.96.0.10", "169.254.20.10"], "169.254.20.10"),
    ],
)
def test_a_cache_that_the_node_has_is_right(
    small: SmallCluster, device: str, addresses: list[str], handed_out: str
) -> None:
    bind(small, device, *addresses)
    hand_out(small, handed_out)

    assert not found(small, "kubelet_cluster_dns")
    assert not found(small, "resolv_conf")
    assert not found(small, "pods_resolve_udp")


@pytest.mark.parametrize("server", ["169.254.169.254", "169.254.116.108", "fe80::a"])
def test_a_link_local_address_that_the_node_does_not_have_is_inconclusive(
    small: SmallCluster, server: str
) -> None:
    """Cloud DNS of GKE, or a local redirect policy of Cilium."""
    hand_out(small, server)

    (kubelet,) = found(small, "kubelet_cluster_dns")
    files = found(small, "resolv_conf")
    assert len(files) == 2
    assert all(server in each.inconclusive for each in (kubelet, *files))


@pytest.mark.parametrize("server", ["169.254.169.254", "198.51.100.53"])
def test_a_server_that_answers_correctly_is_right(small: SmallCluster, server: str) -> None:
    hand_out(small, server)
    small.ask("own server", "kubernetes", RIGHT, inode=WEB_NETNS, server=server)

    assert not found(small, "kubelet_cluster_dns")
    assert not found(small, "resolv_conf")


def test_a_server_that_does_not_answer_is_found(small: SmallCluster) -> None:
    hand_out(small, "198.51.100.53")
    small.ask("own server", "kubernetes", *[LOST] * 3, inode=WEB_NETNS, server="198.51.100.53")

    (finding,) = found(small, "pods_resolve_udp")
    assert (finding.subject.name, finding.inconclusive) == ("web", "")
    assert "at 198.51.100.53" in finding.expected
    (kubelet,) = found(small, "kubelet_cluster_dns")
    assert (kubelet.found, kubelet.inconclusive) == ("198.51.100.53", "")


@pytest.mark.parametrize(
    ("spec", "server"),
    [
        ({"dnsPolicy": "Default"}, "198.51.100.53"),
        ({"dnsPolicy": "None"}, "198.51.100.53"),
        ({"containers": [{"name": "c", "volumeMounts": [{"mountPath": "/etc"}]}]}, "198.51.100.53"),
        ({}, "198.51.100.54"),
    ],
)
def test_a_server_that_the_pod_chose_need_not_know_the_clusters_names(
    small: SmallCluster, spec: dict[str, Any], server: str
) -> None:
    hand_out(small, "198.51.100.53")
    small.api["pods"][1]["spec"] |= spec
    wrong = Try(0.01, answer=answer(KUBERNETES, rcode=3))
    small.ask("own server", "kubernetes", wrong, inode=WEB_NETNS, server=server)

    assert not found(small, "pods_resolve_udp")


def test_any_service_that_the_kubelet_hands_out_is_right(small: SmallCluster) -> None:
    with_service(small, "10.96.0.53")
    hand_out(small, "10.96.0.53")

    assert not found(small, "kubelet_cluster_dns")
    assert not found(small, "resolv_conf")


def test_a_service_that_the_kubelet_does_not_hand_out_is_wrong(small: SmallCluster) -> None:
    with_service(small, "10.96.0.53")
    change_web_file(small, SEARCH.format(ns="shop") + "\nnameserver 10.96.0.53\n")

    assert [each.inconclusive for each in found(small, "resolv_conf")] == [""]


@pytest.mark.parametrize(("service", "port"), [("10.96.0.54", 53), ("10.96.0.53", 80)])
def test_an_address_of_no_dns_service_is_wrong(
    small: SmallCluster, service: str, port: int
) -> None:
    with_service(small, service, port)
    hand_out(small, "10.96.0.53")

    (kubelet,) = found(small, "kubelet_cluster_dns")
    assert (kubelet.found, kubelet.inconclusive) == ("10.96.0.53", "")
    assert len(found(small, "resolv_conf")) == 2


@pytest.mark.parametrize("device", ["kube-ipvs0", "kube-dummy-if"])
def test_an_address_that_a_proxy_bound_is_not_a_cache(small: SmallCluster, device: str) -> None:
    """In IPVS mode every node has the address of every Service."""
    with_service(small, "10.96.0.53", 80)
    bind(small, device, "10.96.0.53")
    hand_out(small, "10.96.0.53")

    assert [each.inconclusive for each in found(small, "kubelet_cluster_dns")] == [""]


def test_a_link_local_address_that_the_kubelet_does_not_hand_out_is_wrong(
    small: SmallCluster,
) -> None:
    hand_out(small, "169.254.10.11")
    small.change_document(kubelet=Kubelet({"cluster-dns": "10.96.0.10"}, []))

    assert [each.inconclusive for each in found(small, "resolv_conf")] == ["", ""]


def without_replicas(small: SmallCluster) -> None:
    """The Service of a DNS that the cluster no longer uses is left."""
    small.api["pods"] = small.api["pods"][1:]
    small.api["endpointSlices"] = []
    refused = [Try(0.01, error="refused")] * 3
    for inode in (HOST, DNS_NETNS, WEB_NETNS):
        for transport in ("udp", "tcp"):
            small.change_probes(inode, transport, refused)


def test_services_that_no_pod_uses_need_not_answer(small: SmallCluster) -> None:
    hand_out(small, "169.254.169.254")
    without_replicas(small)

    for check in ("pods_resolve_udp", "pods_resolve_tcp", "nodes_resolve"):
        with pytest.raises(NotApplicable, match=r"169\.254\.169\.254"):
            found(small, check)


@pytest.mark.parametrize(
    ("device", "server"), [("localdns", "169.254.10.11"), ("ens4", "10.96.0.10")]
)
def test_a_service_without_replicas_is_found_where_it_is_used(
    small: SmallCluster, device: str, server: str
) -> None:
    """A cache on the node has no other source than the Service."""
    bind(small, device, server)
    hand_out(small, server)
    without_replicas(small)

    assert found(small, "pods_resolve_udp")
    assert found(small, "nodes_resolve")


@pytest.mark.parametrize(("answers", "phase", "is_used"), [(RIGHT, "", False), (LOST, "", True),
                                                          (RIGHT, "Pending", True)])  # fmt: skip
def test_a_cache_can_have_another_source_than_a_service_without_pods(
    small: SmallCluster, answers: Try, phase: str, is_used: bool
) -> None:
    """NodeLocal DNSCache in front of Cloud DNS, with kube-dns scaled to zero."""
    bind(small, "nodelocaldns", "169.254.20.10")
    hand_out(small, "169.254.20.10")
    replica = small.api["pods"][0]
    without_replicas(small)
    if phase:
        replica["status"]["phase"] = phase
        small.api["pods"].append(replica)
    small.ask("own server", "kubernetes", answers, inode=WEB_NETNS, server="169.254.20.10")
    small.ask("local cache", "kubernetes", answers, server="169.254.20.10")
    small.dns_seen = {"n1": dns_seen(small.node)}

    if is_used:
        assert found(small, "pods_resolve_udp")
        assert found(small, "replicas_ready")
    else:
        assert not found(small, "pods_resolve_udp")
        assert not found(small, "node_local_cache")
        for check in ("nodes_resolve", "replicas_ready"):
            with pytest.raises(NotApplicable, match=r"169\.254\.20\.10"):
                found(small, check)


def change_web_file(small: SmallCluster, text: str) -> None:
    assert small.document
    dns, web = small.document.pods
    small.change_document(pods=[dns, replace(web, resolv_conf=PodFile(text))])


MOUNTS: dict[str, list[dict[str, Any]]] = {
    "/etc/resolv.conf": [{"name": "v", "mountPath": "/etc/resolv.conf", "subPath": "resolv.conf"}],
    "/etc": [{"name": "v", "mountPath": "/etc/"}],
    "/etc/other": [{"name": "v", "mountPath": "/etc/resolv.conf.d"}],
}


@pytest.mark.parametrize("containers", ["containers", "initContainers"])
@pytest.mark.parametrize(("mounts", "findings"), [("/etc/resolv.conf", 0), ("/etc", 0),
                                                  ("/etc/other", 2)])  # fmt: skip
def test_a_file_that_the_pod_mounts_is_its_own(
    small: SmallCluster, containers: str, mounts: str, findings: int
) -> None:
    small.api["mountsRead"] = True
    small.api["pods"][1]["spec"][containers] = [{"name": "c", "volumeMounts": MOUNTS[mounts]}]
    change_web_file(small, "nameserver 127.0.0.1\nnameserver 9.9.9.9\n")

    assert [each.inconclusive for each in found(small, "resolv_conf")] == [""] * findings


@pytest.mark.parametrize(
    ("text", "unsure"),
    [
        ("nameserver 9.9.9.9\n", [True, True]),
        ("nameserver 127.0.0.1\n" + SEARCH.format(ns="shop") + "\n", [True]),
        ("nameserver ::1\nnameserver 10.96.0.10\n", [True, True]),
        ("search lan\nnameserver 10.96.0.10\n", [False]),
        (SEARCH.format(ns="shop") + "\nnameserver 9.9.9.9\n", [False]),
        ("search shop.svc.old.local svc.old.local\nnameserver 9.9.9.9\n", [False, False]),
    ],
)
def test_without_the_mounts_a_file_of_another_form_is_inconclusive(
    small: SmallCluster, text: str, unsure: list[bool]
) -> None:
    change_web_file(small, text)

    assert [bool(each.inconclusive) for each in found(small, "resolv_conf")] == unsure

    small.api["mountsRead"] = True
    assert not any(each.inconclusive for each in found(small, "resolv_conf"))


def test_without_a_known_kubelet_such_a_file_is_wrong(small: SmallCluster) -> None:
    """A kubelet without clusterDNS gives pods the file of the node."""
    small.change_document(kubelet=Kubelet({"cluster-domain": "cluster.local"}))
    change_web_file(small, "nameserver 9.9.9.9\n")

    assert [each.inconclusive for each in found(small, "resolv_conf")] == ["", ""]


NONE: dict[str, Any] = {"dnsPolicy": "None"}


@pytest.mark.parametrize(
    ("spec", "text", "findings"),
    [
        (NONE | {"dnsConfig": {"nameservers": ["1.1.1.1"],
                               "searches": ["Example.com.", "cluster.local"]}},
         "search example.com. cluster.local\nnameserver 1.1.1.1\n", 0),
        (NONE | {"dnsConfig": {"nameservers": ["1.1.1.1", "1.1.1.1"], "searches": ["a.b", "a.b"]}},
         "search a.b\nnameserver 1.1.1.1\n", 0),
        (NONE | {"dnsConfig": {"nameservers": ["1.1.1.1", "1.0.0.1", "9.9.9.9", "8.8.8.8"]}},
         "nameserver 1.1.1.1\nnameserver 1.0.0.1\nnameserver 9.9.9.9\n", 0),
        (NONE | {"dnsConfig": {"nameservers": ["fd00:0:0::a"]}}, "nameserver fd00::a\n", 0),
        (NONE | {"dnsConfig": {"nameservers": ["1.1.1.1"], "searches": list("abcdefgh")}},
         "search a b c d e f\nnameserver 1.1.1.1\n", 0),
        (NONE | {"dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["a.b", "c.d"]}},
         "search a.b\nnameserver 1.1.1.1\n", 1),
        ({"dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["svc.cluster.local.", "a.b."]}},
         SEARCH.format(ns="shop") + " a.b.\nnameserver 10.96.0.10\nnameserver 1.1.1.1\n", 0),
        ({"dnsConfig": {"nameservers": ["1.1.1.1"]}},
         SEARCH.format(ns="shop") + "\nnameserver 10.96.0.10\n", 1),
    ],
)  # fmt: skip
def test_forms_that_mean_the_same_are_the_same(
    small: SmallCluster, spec: dict[str, Any], text: str, findings: int
) -> None:
    small.api["mountsRead"] = True
    small.api["pods"][1]["spec"] |= spec
    change_web_file(small, text)

    assert len(found(small, "resolv_conf")) == findings
