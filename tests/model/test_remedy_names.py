"""Names for remedies: those of the node's own objects, whatever else is called like them."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import DNS_NETNS, WEB_NETNS, SmallCluster
from wirecheck.catalogue.findings import Finding, Ref
from wirecheck.model.remedy_names import RemedyNames


def names(small: SmallCluster) -> dict[str, str]:
    finding = Finding(Ref("Node", "n1"), expected="a", found="b")
    return dict(RemedyNames(small.node).of(finding))


def pod(name: str, namespace: str, *, host_network: bool = True) -> dict[str, object]:
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}"},
        "spec": {"nodeName": "n1", "containers": [], "hostNetwork": host_network},
        "status": {"phase": "Running"},
    }


@pytest.mark.parametrize(
    ("pods", "found"),
    [
        ([], ""),
        ([pod("kube-proxy-evil", "shop")], ""),
        (
            [pod("kube-proxy-evil", "shop"), pod("kube-proxy-x7k2p", "kube-system")],
            "kube-proxy-x7k2p",
        ),
        ([pod("kube-proxy", "kube-system")], "kube-proxy"),
        ([pod("my-kube-proxy", "kube-system")], ""),
        ([pod("kube-proxy", "kube-system", host_network=False)], ""),
    ],
)
def test_kube_proxys_pod_is_one_of_kube_system(pods, found):
    small = SmallCluster()
    others = [e for e in small.api["pods"] if not e["metadata"]["name"].startswith("kube-proxy")]
    small.api["pods"] = [*others, *pods]

    assert names(small)["kube_proxy_pod"] == found


@pytest.mark.parametrize(
    ("forward", "found"),
    [
        ("forward . 8.8.8.8 8.8.4.4", "8.8.8.8"),
        ("forward . tls://9.9.9.9 {\n tls_servername dns.quad9.net\n }", "9.9.9.9"),
        ("forward . [fd00::1]:5353", "fd00::1"),
        ("forward . 10.0.0.2:5353", "10.0.0.2"),
        ("forward . /etc/resolv.conf", ""),
        ("forward . dns.example", ""),
        ("", ""),
        ("forward", ""),
    ],
)
def test_the_upstream_server_is_that_of_the_corefile(forward, found):
    small = SmallCluster()
    text = f".:53 {{\n kubernetes cluster.local\n {forward}\n}}\n"
    meta = {"name": "coredns", "namespace": "kube-system"}
    small.api["configMaps"] = [{"metadata": meta, "data": {"Corefile": text}}]

    assert names(small)["upstream"] == found


def of(small: SmallCluster, about: Ref, **given: str) -> dict[str, str]:
    finding = Finding(about, expected="a", found="b", names=given)
    return dict(RemedyNames(small.node).of(finding))


@pytest.mark.parametrize("number", [0, 1])
def test_the_netns_is_that_of_the_findings_own_pod(number):
    small = SmallCluster()
    for inode, path in ((DNS_NETNS, "/run/netns/dns"), (WEB_NETNS, "/run/netns/web")):
        small.change_netns(inode, mounted=path)
    node = small.node
    ref = sorted(each.ref for each in node.pods if each.name in ("dns", "web"))[number]

    assert of(small, ref)["netns"] == f"/run/netns/{ref.name}"
    assert "netns" not in of(small, Ref("Pod", ref.name, ref.namespace, uid="another"))
    assert "netns" not in of(small, Ref("Service", ref.name, ref.namespace, uid=ref.uid))


def test_the_name_of_the_object_is_that_of_its_kind():
    small = SmallCluster()

    assert of(small, Ref("Pod", "web", "shop"))["pod"] == "web"
    assert of(small, Ref("Service", "web", "shop"))["service"] == "web"
    assert of(small, Ref("Node", "n2"))["node"] == "n2"
    assert of(small, Ref("link", "eth0"))["node"] == "n1"
    assert of(small, Ref("Pod", "web", "shop"), pod="other")["pod"] == "other"
    assert of(small, Ref("Pod", "web", "shop"))["namespace"] == "shop"


def test_the_names_of_the_plugins_agent_and_of_dns_are_known():
    found = names(SmallCluster())

    assert (found["cni_pod"], found["cni_namespace"]) == ("flannel", "kube-flannel")
    assert (found["dns_service"], found["dns_namespace"]) == ("10.96.0.10", "kube-system")
    assert found["dns_service_name"] == "kube-dns"


def test_a_finding_of_the_cluster_has_no_names_of_a_node():
    finding = Finding(Ref("Pod", "web", "shop"), expected="a", found="b")
    found = RemedyNames(SmallCluster().cluster).of(finding)

    assert found["pod"] == "web"
    assert not found.keys() & {"node", "netns", "kube_proxy_pod", "cni_pod"}
