"""What changed in the cluster itself, from records and from snapshots."""

from __future__ import annotations

import copy
from pathlib import Path

from msgspec.structs import replace

from tests.checks.small_cluster import SmallCluster
from tests.served_cluster import node
from tests.snapshots import CHECKS, healthy, written
from wirecheck.catalogue.registry import load
from wirecheck.run.baseline import read_baseline
from wirecheck.run.cluster_changes import changes_between
from wirecheck.run.selection import selected
from wirecheck.snapshot.folder import Snapshot


def changes(tmp_path: Path, was: SmallCluster, now: SmallCluster) -> list[str]:
    folders = written(tmp_path / "was", was), written(tmp_path / "now", now)
    first, second = (read_baseline(folder, selected(load(), CHECKS)).results for folder in folders)
    found = changes_between(first, second, *map(Snapshot.open, folders))
    return [str(change) for change in found]


def altered(**info: str) -> SmallCluster:
    small = healthy()
    small.api = copy.deepcopy(small.api)
    small.api["nodes"][0]["status"].setdefault("nodeInfo", {}).update(info)
    return small


def test_the_same_cluster_has_not_changed(tmp_path):
    assert changes(tmp_path, healthy(), healthy()) == []


def test_versions_kernels_and_sysctls(tmp_path):
    was = altered(kernelVersion="6.1.0", kubeletVersion="v1.33.1")
    now = altered(kernelVersion="6.8.0", kubeletVersion="v1.34.4")
    now.change_file("/proc/sys/net/ipv4/ip_forward", "0")
    now.change_file("/proc/sys/net/netfilter/nf_conntrack_count", "4711")

    assert changes(tmp_path, was, now) == [
        "kubelet on 1 node (n1): was v1.33.1, now v1.34.4",
        "kernel on 1 node (n1): was 6.1.0, now 6.8.0",
        "net.ipv4.ip_forward on 1 node (n1): was 1, now 0",
    ]


def test_mtu_and_rules(tmp_path):
    was, now = healthy(), healthy()
    host, *rest = now.document.namespaces
    links = [replace(e, mtu=1400) if e.name == "cni0" else e for e in host.links]
    now.document = replace(now.document, namespaces=[replace(host, links=links), *rest])

    assert changes(tmp_path, was, now) == ["MTU of cni0 on 1 node (n1): was 1450, now 1400"]


def test_a_replaced_node_tells_what_no_node_was_like_before(tmp_path):
    was = altered(kernelVersion="6.1.0", osImage="Debian 12")
    now = altered(kernelVersion="6.1.0", osImage="Debian 12")
    new = node("n2")
    new["status"]["nodeInfo"] = {"kernelVersion": "6.8.0", "osImage": "Debian 12"}
    now.api["nodes"].append(new)

    assert changes(tmp_path, was, now) == [
        "number of nodes: was 1, now 2",
        "nodes added: was -, now n2",
        "kernel on 1 node (n2): was 6.1.0 on the earlier nodes, now 6.8.0",
    ]


def test_images_of_what_makes_the_network(tmp_path):
    def with_images(tag: str) -> SmallCluster:
        small = healthy()
        small.api = copy.deepcopy(small.api)
        owned = {"kind": "DaemonSet", "name": "kube-proxy", "uid": "d", "controller": True}
        for number, (namespace, own_network) in enumerate(
            [("kube-system", True), ("network", True), ("shop", False)]
        ):
            small.api["pods"].append(
                {
                    "metadata": {
                        "name": f"kube-proxy-{tag}",
                        "namespace": namespace,
                        "uid": f"p-{number}",
                        "ownerReferences": [owned],
                    },
                    "spec": {
                        "nodeName": "n1",
                        "hostNetwork": own_network,
                        "containers": [{"name": "c", "image": f"r/kube-proxy:{tag}"}],
                    },
                    "status": {"phase": "Running"},
                }
            )
        return small

    found = changes(tmp_path, with_images("v1.33.13"), with_images("v1.34.4"))

    now = "was r/kube-proxy:v1.33.13, now r/kube-proxy:v1.34.4"
    assert [each for each in found if each.startswith("image")] == [
        f"image of kube-system DaemonSet/kube-proxy c: {now}",
        f"image of network DaemonSet/kube-proxy c: {now}",
    ]
