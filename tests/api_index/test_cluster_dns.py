from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.checks import small_cluster
from wirecheck.api_index.cluster_dns import ClusterDns, cluster_dns
from wirecheck.snapshot.api_objects import ApiObjects


@pytest.fixture
def api() -> dict[str, Any]:
    return small_cluster.api()


def found(api: dict[str, Any]) -> ClusterDns:
    return cluster_dns(msgspec.convert(api, ApiObjects))


def kube_dns(api: dict[str, Any]) -> dict[str, Any]:
    (service,) = [each for each in api["services"] if each["metadata"]["name"] == "kube-dns"]
    return dict(service)


def names(dns: ClusterDns) -> list[str]:
    return [each.metadata.name for each in dns.replicas]


def test_the_dns_of_kubeadm(api: dict[str, Any]) -> None:
    dns = found(api)

    assert (dns.addresses, names(dns), dns.domain) == (("10.96.0.10",), ["dns"], "cluster.local")


def test_the_domain_comes_from_the_corefile(api: dict[str, Any]) -> None:
    corefile = ".:53 {\n  kubernetes corp.example in-addr.arpa {\n  }\n}"
    api["configMaps"] = [{"metadata": {"name": "coredns"}, "data": {"Corefile": corefile}}]

    assert found(api).domain == "corp.example"


def test_each_family_is_listed_once(api: dict[str, Any]) -> None:
    kube_dns(api)["spec"]["clusterIPs"] = ["10.96.0.10", "fd00::a"]

    assert found(api).addresses == ("10.96.0.10", "fd00::a")


def test_a_service_of_another_name_is_found_by_its_label(api: dict[str, Any]) -> None:
    kube_dns(api)["metadata"]["name"] = "rke2-coredns"

    assert names(found(api)) == ["dns"]


@pytest.mark.parametrize("clusterIP", ["None", ""])
def test_a_service_without_a_cluster_ip_is_ignored(api: dict[str, Any], clusterIP: str) -> None:  # noqa: N803
    kube_dns(api)["spec"]["clusterIP"] = clusterIP

    assert found(api).services == ()


def test_the_metrics_service_is_ignored(api: dict[str, Any]) -> None:
    metrics = small_cluster.service("kube-dns", "kube-system", "10.96.0.77", [{"port": 9153}])
    api["services"].append(metrics)

    assert found(api).addresses == ("10.96.0.10",)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [("status", "phase", "Pending"), ("metadata", "deletionTimestamp", "2026-01-01T00:00:00Z")],
)
def test_only_running_pods_are_replicas(
    api: dict[str, Any], part: str, field: str, value: str
) -> None:
    api["pods"][0][part][field] = value

    assert names(found(api)) == []


def test_a_replica_need_not_be_ready(api: dict[str, Any]) -> None:
    api["pods"][0]["status"]["conditions"] = [{"type": "Ready", "status": "False"}]

    assert names(found(api)) == ["dns"]


@pytest.mark.parametrize(
    ("target", "port"), [(0, 53), (5353, 5353), ("dns", 1053), ("nowhere", 53)]
)
def test_replicas_listen_on_the_target_port(
    api: dict[str, Any], target: int | str, port: int
) -> None:
    kube_dns(api)["spec"]["ports"][0]["targetPort"] = target
    api["pods"][0]["spec"]["containers"] = [
        {"name": "c", "ports": [{"containerPort": 1053, "name": "dns", "protocol": "UDP"}]}
    ]
    dns = found(api)

    assert dns.port_of(dns.replicas[0], "UDP") == port
    assert dns.port_of(dns.replicas[0], "TCP") == 53


@pytest.mark.parametrize(
    ("name", "labels", "is_dns"),
    [
        ("coredns", {}, True),
        ("dns", {"app.kubernetes.io/name": "coredns"}, True),
        ("dns", {"k8s-app": "kube-dns"}, True),
        ("external-dns", {"k8s-app": "external-dns"}, False),
    ],
)
def test_dns_of_another_namespace_counts_only_without_the_usual_one(
    api: dict[str, Any], name: str, labels: dict[str, str], is_dns: bool
) -> None:
    ports = [{"port": 53, "protocol": "UDP"}]
    other = small_cluster.service(name, "dns-system", "10.96.0.53", ports)
    other["metadata"]["labels"] = labels
    api["services"].append(other)
    assert found(api).addresses == ("10.96.0.10",)

    api["services"].remove(kube_dns(api))
    assert found(api).addresses == (("10.96.0.53",) if is_dns else ())
