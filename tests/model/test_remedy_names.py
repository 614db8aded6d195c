"""Names for remedies: those of the node's own objects, whatever else is called like them."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import SmallCluster
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
