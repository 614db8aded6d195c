"""The kubelet's DNS settings for pods, compared with the cluster's DNS."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.kubelet_dns import known_kubelet_dns, required_kubelet_dns
from wirecheck.parse.kubelet_settings import KubeletDns
from wirecheck.snapshot.node_settings import Kubelet

LINK_LOCAL = "169.254.169.254"


def deviations(small: SmallCluster, servers: str, domain: str = "cluster.local") -> list[str]:
    """`SETTING: EXPECTED, not FOUND`, with a question mark where that is uncertain."""
    flags = {"cluster-dns": servers, "cluster-domain": domain}
    small.change_document(kubelet=Kubelet(flags))
    found = small.node.kubelet.dns_deviations
    return [
        f"{each.setting}: {each.expected}, not {each.found}{'?' if each.unsure else ''}"
        for each in found
    ]


@pytest.mark.parametrize(
    ("servers", "found"),
    [
        ("10.96.0.10", []),
        ("10.96.0.10,169.254.20.10", []),
        ("", ["clusterDNS: 10.96.0.10, not nothing"]),
        ("192.0.2.53", ["clusterDNS: 10.96.0.10, not 192.0.2.53"]),
        ("10.96.0.10,192.0.2.53", ["clusterDNS: 10.96.0.10, not 10.96.0.10, 192.0.2.53"]),
        (LINK_LOCAL, [f"clusterDNS: 10.96.0.10, not {LINK_LOCAL}?"]),
        (f"{LINK_LOCAL},192.0.2.53", [f"clusterDNS: 10.96.0.10, not {LINK_LOCAL}, 192.0.2.53"]),
    ],
)
def test_every_server_has_to_be_the_clusters(
    small: SmallCluster, servers: str, found: list[str]
) -> None:
    assert deviations(small, servers) == found


def test_without_a_service_any_server_of_the_cluster_is_expected(small: SmallCluster) -> None:
    small.api["services"] = small.api["services"][:1]

    assert deviations(small, "192.0.2.53")[0].startswith(
        "clusterDNS: a DNS server of the cluster, not 192.0.2.53"
    )


def test_the_domain_is_compared_too(small: SmallCluster) -> None:
    assert deviations(small, "10.96.0.10", "prod.name") == [
        "clusterDomain: cluster.local, not prod.name"
    ]
    assert deviations(small, "10.96.0.10", "") == ["clusterDomain: cluster.local, not nothing"]
    assert deviations(small, "10.96.0.10") == []


@pytest.mark.parametrize(
    ("kubelet", "error", "match"),
    [
        (None, NotApplicable, "no process named kubelet"),
        (Kubelet({"config-dir": "/etc/k"}), NotApplicable, "merges its settings from files in"),
        (Kubelet({}, [], problem="cut"), FactMissingError, r"settings on n1: cut\."),
        (Kubelet({"config-dir": "/etc/k"}, [], problem="cut"), FactMissingError, "n1: cut"),
        (Kubelet({}, ["clusterDNS: ["]), FactMissingError, "The kubelet on n1"),
    ],
)
def test_settings_that_are_unknown_have_a_reason(
    small: SmallCluster, kubelet: Kubelet | None, error: type[Exception], match: str
) -> None:
    small.change_document(kubelet=kubelet)

    with pytest.raises(error, match=match):
        required_kubelet_dns(small.node.seen)
    assert known_kubelet_dns(small.node.seen) == KubeletDns((), "")
