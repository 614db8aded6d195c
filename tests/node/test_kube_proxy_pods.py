"""Which pod is the node's kube-proxy, whatever else has its name or its image."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import convert

from tests.checks.small_cluster import SmallCluster
from wirecheck.api_index.pod import Pod
from wirecheck.node.kube_proxy_pods import is_kube_proxy
from wirecheck.node.service_proxy import ServiceProxy
from wirecheck.snapshot.objects.pod import PodObject

OWN = "registry.k8s.io/kube-proxy:v1.34.4"
STATIC = ("Node", "n1")


def pod(name: str, owner: tuple[str, str] | None = ("DaemonSet", "kube-proxy"), *,
        image: str = OWN, namespace: str = "kube-system", host: bool = True,
        phase: str = "Running") -> dict[str, Any]:  # fmt: skip
    owners = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else []
    metadata = {"name": name, "namespace": namespace, "uid": name, "ownerReferences": owners}
    spec = {"nodeName": "n1", "hostNetwork": host, "containers": [{"name": "a", "image": image}]}
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase}}


def is_one(described: dict[str, Any]) -> bool:
    return is_kube_proxy(Pod(convert(described, PodObject)))


@pytest.mark.parametrize(
    "described",
    [
        pod("kube-proxy-x7k2p"),
        pod("kube-proxy-x7k2p", image="mirror.test:5000/cached/proxy@sha256:00"),
        pod("kube-proxy-ipvs-x", ("DaemonSet", "kube-proxy-ipvs")),
        pod("kube-proxy-arm-x", ("DaemonSet", "kube-proxy-arm"), image="r.test/kube-proxy-arm:1"),
        # GKE and RKE2 run it as a static pod; RKE2's image has all of Kubernetes.
        pod("kube-proxy-n1", STATIC),
        pod("kube-proxy-n1", STATIC, image="index.test/rancher/hardened-kubernetes:v1.34.4"),
        pod("kube-proxy-n1", None),
    ],
    ids=lambda each: f"{each['metadata']['name']} {each['spec']['containers'][0]['image']}",
)
def test_kube_proxy_is_recognised_however_it_runs(described: dict[str, Any]) -> None:
    assert is_one(described)


@pytest.mark.parametrize(
    "described",
    [
        pod("kube-proxy-x7k2p", namespace="shop"),
        pod("kube-proxy", None, namespace="shop"),
        pod("kube-proxy-n1", STATIC, namespace="kube-public"),
        pod("kube-proxy-x7k2p", host=False),
        pod("kube-proxy-exporter-x", ("DaemonSet", "kube-proxy-exporter"), image="r.test/exporter"),
        pod("kube-proxy-exporter-5d-x", ("ReplicaSet", "kube-proxy-exporter-5d")),
        pod("kube-proxy-report-x", ("Job", "kube-proxy-report")),
        pod("my-kube-proxy-x", ("DaemonSet", "my-kube-proxy")),
        pod("my-kube-proxy-n1", STATIC),
    ],
    ids=lambda each: f"{each['metadata']['namespace']} {each['metadata']['name']}",
)
def test_what_is_only_called_like_it_does_not_count(described: dict[str, Any]) -> None:
    assert not is_one(described)


def version_with(*pods: dict[str, Any]) -> str:
    small = SmallCluster()
    small.api["pods"] = [*pods, *small.api["pods"]]
    return ServiceProxy(small.node.seen).kube_proxy.image.rpartition(":")[2]


def test_a_users_pod_does_not_hide_kube_proxy() -> None:
    """Its image would have been taken for kube-proxy's version."""
    users = pod(
        "kube-proxy-0", ("StatefulSet", "kube-proxy"), image="shop/app:v9", namespace="shop"
    )

    assert version_with(users, pod("kube-proxy-x7k2p")) == "v1.34.4"
    assert version_with(users) == ""


def test_the_pod_that_runs_counts_and_not_the_one_that_it_replaced() -> None:
    evicted = pod("kube-proxy-a", image="registry.k8s.io/kube-proxy:v1.20.0", phase="Failed")

    assert version_with(evicted, pod("kube-proxy-b")) == "v1.34.4"
    # A failed one is better than none: its image still shows the version.
    assert version_with(evicted) == "v1.20.0"
