"""What runs in the cluster: one of everything that a node's network is made for."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.cluster import apply, kubectl
from testbed.layout import Layout
from testbed.state import SOURCE

NEVER_READY = ("shop", "warming")
"""The Deployment whose pods are meant never to be ready."""

OF_BOTH_FAMILIES = (
    ("kube-system", "kube-dns"),
    ("shop", "web"),
    ("shop", "web-nodeport"),
    ("shop", "web-nodeport-local"),
    ("shop", "web-sticky"),
)
"""Services that get a second address in a dual-stack cluster; the others keep one."""


def files() -> list[Path]:
    """The workloads' manifests."""
    return sorted((SOURCE / "workloads").glob("*.yaml"))


def manifest(file: Path, layout: Layout) -> str:
    """A manifest with the addresses of this cluster filled in."""
    return string.Template(file.read_text()).substitute(
        subnet=layout.subnet, dns=layout.dns, external_address=layout.at(201)
    )


def start(layout: Layout) -> None:
    """Start all workloads, and give the LoadBalancer Services the addresses of a load balancer."""
    apply("---\n".join(manifest(file, layout) for file in files()))
    for name, number in (("web-public", 200), ("web-public-local", 202)):
        status = {"status": {"loadBalancer": {"ingress": [{"ip": layout.at(number)}]}}}
        patch = ["patch", "service", name, "--subresource=status", "--patch", json.dumps(status)]
        kubectl("--namespace", "shop", *patch)
    for namespace, name in OF_BOTH_FAMILIES if layout.dual_stack else ():
        both = json.dumps({"spec": {"ipFamilyPolicy": "RequireDualStack"}})
        kubectl("--namespace", namespace, "patch", "service", name, "--patch", both)


@contextmanager
def without_policies() -> Iterator[None]:
    """The cluster without NetworkPolicies: flannel enforces none, and a run warns of that."""
    kubectl("delete", "networkpolicies", "--all", "--all-namespaces")
    try:
        yield
    finally:
        apply((SOURCE / "workloads" / "sealed.yaml").read_text())


def web_address() -> str:
    """The address of a Service with several backends."""
    return kubectl(
        "--namespace", "shop", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"
    )


def web_pods() -> list[str]:
    """Address and port of each of its backends, in each family that they have."""
    listed = kubectl("--namespace", "shop", "get", "pods", "-l", "app=web", "-o", "json")
    addresses = [
        str(each["ip"]) for pod in json.loads(listed)["items"] for each in pod["status"]["podIPs"]
    ]
    return [f"[{each}]:8080" if ":" in each else f"{each}:8080" for each in addresses]
