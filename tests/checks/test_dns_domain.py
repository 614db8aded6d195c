"""The cluster's domain: from the Corefile, the kubelet, or the answers, where they are known."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import DNS_NETNS, HOST, KUBERNETES, WEB_NETNS, SmallCluster, answer
from tests.checks.test_dns_servers import hand_out
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.model.dns_seen import DnsSeen, dns_seen
from wirecheck.snapshot.attempts import Try
from wirecheck.snapshot.node_settings import Kubelet

OTHER = "prod.name"
NO_SUCH_NAME = Try(0.01, answer=answer(KUBERNETES, rcode=3))
LOST = Try(2.5, error="timeout")
QUERIED = ("dns.pods_resolve_udp", "dns.pods_resolve_tcp", "dns.nodes_resolve",
           "dns.replicas_answer")  # fmt: skip


def serve(small: SmallCluster, *words: str, block: str = ".:53") -> None:
    text = f"{block} {{\n    kubernetes {' '.join(words)} in-addr.arpa ip6.arpa\n}}\n"
    meta = {"name": "rke2-coredns-rke2-coredns", "namespace": "kube-system"}
    small.api["configMaps"] = [{"metadata": meta, "data": {"Corefile": text}}]


def answer_all(small: SmallCluster, *tries: Try) -> None:
    """DNS answers the usual question alike everywhere; it was planned in cluster.local."""
    for inode in (HOST, DNS_NETNS, WEB_NETNS):
        for transport in ("udp", "tcp"):
            small.change_probes(inode, transport, list(tries))


@pytest.mark.parametrize("check", QUERIED)
def test_queries_in_another_domain_than_the_kubelets_decide_nothing(
    small: SmallCluster, check: str
) -> None:
    hand_out(small, "10.96.0.10", domain=OTHER)
    answer_all(small, NO_SUCH_NAME)

    findings = small.findings(check)
    assert findings
    assert {each.inconclusive for each in findings} == {
        f"the query was in cluster.local, and the kubelet's clusterDomain is {OTHER}"
    }
    assert not small.findings("dns.kubelet_cluster_dns")
    assert not small.findings("dns.resolv_conf")


@pytest.mark.parametrize("check", QUERIED)
def test_no_answer_is_a_fault_in_any_domain(small: SmallCluster, check: str) -> None:
    hand_out(small, "10.96.0.10", domain=OTHER)
    answer_all(small, *[LOST] * 3)

    assert {each.inconclusive for each in small.findings(check)} == {""}


@pytest.mark.parametrize("check", QUERIED)
def test_a_wrong_answer_in_the_clusters_domain_is_a_fault(small: SmallCluster, check: str) -> None:
    answer_all(small, NO_SUCH_NAME)

    assert {each.inconclusive for each in small.findings(check)} == {""}


def test_without_a_kubelet_the_search_paths_show_the_domain(small: SmallCluster) -> None:
    """A kubelet inside the process of k3s or MicroK8s."""
    hand_out(small, "10.96.0.10", domain=OTHER)
    small.change_document(kubelet=None)
    answer_all(small, NO_SUCH_NAME)

    unsure = {each.inconclusive for each in small.findings("dns.pods_resolve_udp")}
    assert unsure == {f"the query was in cluster.local, and pods search {OTHER}"}

    hand_out(small, "10.96.0.10")
    small.change_document(kubelet=None)
    assert {each.inconclusive for each in small.findings("dns.pods_resolve_udp")} == {""}


def test_without_any_source_nothing_depends_on_the_domain(small: SmallCluster) -> None:
    hand_out(small, "10.96.0.10", domain=OTHER)
    assert small.document
    pods = [replace(each, resolv_conf=replace(each.resolv_conf, text="nameserver 10.96.0.10\n"))
            for each in small.document.pods]  # fmt: skip
    small.change_document(kubelet=None, pods=pods)
    answer_all(small, NO_SUCH_NAME)

    unsure = {each.inconclusive for each in small.findings("dns.pods_resolve_udp")}
    assert unsure == {"the query was in cluster.local, and the cluster's domain is unknown"}
    assert not small.findings("dns.resolv_conf")


def test_the_kubelet_and_the_corefile_have_to_agree(small: SmallCluster) -> None:
    serve(small, "cluster.local")
    hand_out(small, "10.96.0.10", domain=OTHER)

    (kubelet,) = small.findings("dns.kubelet_cluster_dns")
    assert (kubelet.expected, kubelet.found, kubelet.inconclusive) == ("cluster.local", OTHER, "")
    assert [each.inconclusive for each in small.findings("dns.resolv_conf")] == ["", ""]


@pytest.mark.parametrize("domain", ["prod.name", "cluster.local", "Cluster.Local."])
def test_each_zone_of_the_corefile_is_right(small: SmallCluster, domain: str) -> None:
    """RKE2 before 1.35.3 serves its own domain and cluster.local."""
    serve(small, OTHER, "cluster.local")
    hand_out(small, "10.96.0.10", domain=domain)

    assert not small.findings("dns.kubelet_cluster_dns")
    assert not small.findings("dns.resolv_conf")
    assert not small.findings("dns.pods_resolve_udp")


REWRITE = "\n    rewrite name suffix .prod.name. .cluster.local. answer auto\n"


@pytest.mark.parametrize(("domain", "is_right"), [(OTHER, True), ("cluster.local", True),
                                                  ("third.name", False)])  # fmt: skip
def test_a_domain_that_the_corefile_rewrites_is_right(
    small: SmallCluster, domain: str, is_right: bool
) -> None:
    serve(small, "cluster.local", block=f".:53 {{{REWRITE}}}\n.:54")
    hand_out(small, "10.96.0.10", domain=domain)

    assert bool(small.findings("dns.kubelet_cluster_dns")) is not is_right
    assert bool(small.findings("dns.resolv_conf")) is not is_right
    assert not small.findings("dns.pods_resolve_udp")


TEMPLATE = "\n    template ANY ANY prod.name. {\n        fallthrough\n    }\n"


@pytest.mark.parametrize(("domain", "is_unsure"), [(OTHER, True), ("third.name", False)])
def test_a_domain_that_a_template_answers_for_may_be_right(
    small: SmallCluster, domain: str, is_unsure: bool
) -> None:
    """A template can answer with a CNAME in the served domain."""
    serve(small, "cluster.local", block=f".:53 {{{TEMPLATE}}}\n.:54")
    hand_out(small, "10.96.0.10", domain=domain)

    (kubelet,) = small.findings("dns.kubelet_cluster_dns")
    assert bool(kubelet.inconclusive) is is_unsure
    assert bool(small.findings("dns.resolv_conf")) is not is_unsure


@pytest.mark.parametrize(
    ("zones", "is_unsure"),
    [
        ("prod.name:53", True),
        ("dns://name.:53", True),
        ("a.name:53 prod.name:53", True),
        ("d.name:53", False),
        ("sub.prod.name:53", False),
        ("10.in-addr.arpa", False),
    ],
)
def test_a_domain_with_a_server_block_of_its_own_may_be_right(
    small: SmallCluster, zones: str, is_unsure: bool
) -> None:
    """Another DNS server answers for it, which may know the cluster's names too."""
    elsewhere = f"{zones} {{\n    forward . 198.51.100.1\n}}\n"
    serve(small, "cluster.local", block=f"{elsewhere}.:53")
    hand_out(small, "10.96.0.10", domain=OTHER)

    (kubelet,) = small.findings("dns.kubelet_cluster_dns")
    assert ("in a server block of its own" in kubelet.inconclusive) is is_unsure
    assert bool(small.findings("dns.resolv_conf")) is not is_unsure


def test_the_block_with_the_longest_zone_answers(small: SmallCluster) -> None:
    """`local` is forwarded, and `cluster.local` is not, whatever the order of the blocks."""
    serve(small, "cluster.local", block="local:53 {\n    forward . 198.51.100.1\n}\n.:53")

    assert not small.findings("dns.kubelet_cluster_dns")
    hand_out(small, "10.96.0.10", domain="x.cluster.local")
    (kubelet,) = small.findings("dns.kubelet_cluster_dns")
    assert not kubelet.inconclusive


def test_an_unread_corefile_may_serve_the_kubelets_domain_too(small: SmallCluster) -> None:
    hand_out(small, "10.96.0.10", domain=OTHER)

    (kubelet,) = small.findings("dns.kubelet_cluster_dns")
    assert "may serve the kubelet's clusterDomain too" in kubelet.inconclusive
    assert not small.findings("dns.resolv_conf")


@pytest.mark.parametrize("words", ["{$CLUSTER_DOMAIN}", "{%CLUSTER_DOMAIN%}"])
def test_a_variable_leaves_the_domain_to_the_kubelets(small: SmallCluster, words: str) -> None:
    serve(small, words)
    hand_out(small, "10.96.0.10", domain=OTHER)
    answer_all(small, NO_SUCH_NAME)

    assert not small.findings("dns.kubelet_cluster_dns")
    assert not small.findings("dns.resolv_conf")
    with pytest.raises(NotApplicable, match="CLUSTER_DOMAIN"):
        small.findings("coredns.serves_cluster_domain")


POINTER = "1.0.96.10.in-addr.arpa PTR"


@pytest.mark.parametrize(
    ("name", "zones", "is_right"),
    [
        (f"kubernetes.default.svc.{OTHER}.", [], True),
        (f"kubernetes.default.svc.{OTHER}.", [OTHER], True),
        (f"kubernetes.default.svc.{OTHER}.", ["cluster.local"], False),
        (f"other.default.svc.{OTHER}.", [], False),
    ],
)
def test_a_reverse_name_leads_to_a_name_in_the_served_domain(
    small: SmallCluster, name: str, zones: list[str], is_right: bool
) -> None:
    if zones:
        serve(small, *zones)
    small.queries = {"pointer": POINTER}
    small.ask("", "pointer", Try(0.01, answer=answer(POINTER, name)))

    assert bool(small.findings("dns.records_correct")) is not is_right


def test_a_reverse_name_shows_the_domain(small: SmallCluster) -> None:
    hand_out(small, "10.96.0.10", domain=OTHER)
    answer_all(small, NO_SUCH_NAME)
    small.queries = {"pointer": POINTER}
    pointer = answer(POINTER, "kubernetes.default.svc.third.name.")
    small.ask("", "pointer", Try(0.01, answer=pointer))

    (kubelet,) = small.findings("dns.kubelet_cluster_dns")
    assert kubelet.expected == "third.name"


def test_kubelets_that_disagree_are_found(small: SmallCluster) -> None:
    small.dns_seen = {
        "n1": DnsSeen("a.b"),
        "n2": DnsSeen("a.b"),
        "n3": DnsSeen("c.d"),
        "n4": DnsSeen(),
    }
    found = iter(small.check("coredns.serves_cluster_domain"))

    finding = next(found)
    assert (finding.expected, finding.found) == ("a.b, as of the other kubelets", "c.d on 1 node")
    assert finding.subject.part == "clusterDomain of n3"
    with pytest.raises(NotApplicable):  # The Corefile was not read.
        next(found)

    serve(small, "a.b")
    assert not small.findings("coredns.serves_cluster_domain")


def test_replicas_are_not_needed_where_no_kubelet_hands_out_the_service(
    small: SmallCluster,
) -> None:
    small.api["pods"] = small.api["pods"][1:]
    small.api["endpointSlices"] = []
    hand_out_elsewhere = "the kubelet gives pods the server 169.254.169.254"
    small.dns_seen = {"n1": DnsSeen("a.b", why_services_unused=hand_out_elsewhere)}
    with pytest.raises(NotApplicable, match="169"):
        small.findings("dns.replicas_ready")

    small.dns_seen |= {"n2": DnsSeen("a.b")}
    assert small.findings("dns.replicas_ready")


def test_what_is_kept_of_a_node(small: SmallCluster) -> None:
    assert dns_seen(small.node) == DnsSeen("cluster.local", ("10.96.0.10",))

    hand_out(small, "169.254.169.254", domain="A.b.")
    small.api["pods"] = small.api["pods"][1:]
    assert dns_seen(small.node).domain == "a.b"
    assert "169.254.169.254" in dns_seen(small.node).why_services_unused

    small.change_document(kubelet=Kubelet({}, ["clusterDNS: ["]))
    assert dns_seen(small.node) == DnsSeen()
    small.document = None
    assert dns_seen(small.node) == DnsSeen()


@pytest.mark.parametrize("name", ["coredns", "resolver"])
def test_dns_in_a_namespace_of_its_own_is_found(small: SmallCluster, name: str) -> None:
    """By its name, or by what the kubelets hand out."""
    (service,) = [s for s in small.api["services"] if s["metadata"]["name"] == "kube-dns"]
    service["metadata"] = {"name": name, "namespace": "dns-system"}
    small.api["pods"][0]["metadata"]["namespace"] = "dns-system"
    small.dns_seen = {"n1": dns_seen(small.node)}

    assert not small.findings("dns.replicas_ready")
    assert not small.findings("dns.kubelet_cluster_dns")
    assert not small.findings("dns.pods_resolve_udp")
    small.api["pods"][0]["status"]["conditions"] = []
    assert [each.found for each in small.findings("dns.replicas_ready")] == ["not Ready"]
