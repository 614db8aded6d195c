"""The view of `wirecheck inspect` that shows the object of a finding."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.findings import Ref
from wirecheck.model.inspect_arguments import inspect_arguments


@pytest.mark.parametrize(
    ("about", "on_node", "of_cluster"),
    [
        (Ref("Pod", "web", "shop", part="eth0"), "pod shop/web", "pod shop/web"),
        (
            Ref("Service", "kube-dns", "kube-system"),
            "service kube-system/kube-dns --node n1",
            "service kube-system/kube-dns",
        ),
        (Ref("Node", "n2"), "node n2", "node n2"),
        # What the API no longer has, or has no view, is shown on its node.
        (Ref("Pod", "gone", "shop"), "node n1", ""),
        (Ref("Service", "gone", "shop"), "node n1", ""),
        (Ref("Node", "gone"), "node n1", ""),
        (Ref("Endpoints", "web", "shop"), "node n1", ""),
        # Objects of other kinds can have the same names.
        (Ref("ConfigMap", "web", "shop"), "node n1", ""),
        (Ref("ConfigMap", "kube-dns", "kube-system"), "node n1", ""),
        (Ref("Pod", "kube-dns", "kube-system"), "node n1", ""),
        (Ref("Service", "web", "shop"), "node n1", ""),
        (Ref("Cluster", "n2"), "node n1", ""),
    ],
)
def test_each_kind_of_object_has_its_view(about: Ref, on_node: str, of_cluster: str) -> None:
    small = SmallCluster()

    assert inspect_arguments(about, small.node) == on_node
    assert inspect_arguments(about, small.cluster) == of_cluster


def test_names_are_quoted_for_a_shell() -> None:
    small = SmallCluster()
    small.api["pods"][1]["metadata"]["name"] = "web;x"

    assert inspect_arguments(Ref("Pod", "web;x", "shop"), small.node) == "pod 'shop/web;x'"
