"""The key, the cluster IPs and the selected pods of a Service."""

import pytest

from wirecheck.api_index.service import cluster_ips, has_cluster_ip, selects, service_key
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.service import ServiceObject, ServiceSpec


def service(**spec: object) -> ServiceObject:
    return ServiceObject(
        metadata=Metadata(name="web", namespace="shop"),
        spec=ServiceSpec(**spec),  # type: ignore[arg-type]
    )


def pod(namespace: str = "shop", **labels: str) -> PodObject:
    return PodObject(metadata=Metadata(name="web-0", namespace=namespace, labels=labels))


def test_the_key_is_namespace_and_name():
    assert service_key(service()) == ("shop", "web")


@pytest.mark.parametrize(
    ("ip", "ips", "expected"),
    [
        ("10.96.0.20", ["10.96.0.20"], ("10.96.0.20",)),
        ("10.96.0.20", ["10.96.0.20", "fd00::20"], ("10.96.0.20", "fd00::20")),
        ("10.96.0.20", [], ("10.96.0.20",)),
        ("None", ["None"], ()),
        ("", [], ()),
    ],
)
def test_cluster_ips(ip, ips, expected):
    found = service(cluster_ip=ip, cluster_ips=ips)

    assert cluster_ips(found) == expected
    assert has_cluster_ip(found) is bool(expected)


@pytest.mark.parametrize(
    ("selector", "candidate", "expected"),
    [
        ({"app": "web"}, pod(app="web", tier="front"), True),
        ({"app": "web", "tier": "back"}, pod(app="web", tier="front"), False),
        ({"app": "web"}, pod("test", app="web"), False),
        ({}, pod(app="web"), False),
    ],
)
def test_a_selector_matches_all_its_labels_in_the_own_namespace(selector, candidate, expected):
    assert selects(service(selector=selector), candidate) is expected
