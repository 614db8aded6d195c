"""Where CoreDNS runs when a fault is injected: its set assumes a worker without DNS."""

from __future__ import annotations

import json

from testbed.cluster import kubectl
from testbed.layout import VM, WORKERS

FREE = WORKERS[-1]
"""The node that has host ports, local endpoints and no DNS; what came before may have moved it."""


def replicas() -> dict[str, str]:
    """The pods of CoreDNS, and their nodes; empty for those that wait for one."""
    pods = ("-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-dns", "-o", "json")
    return {
        str(pod["metadata"]["name"]): str(pod["spec"].get("nodeName", ""))
        for pod in json.loads(kubectl(*pods))["items"]
    }


def clear_of_dns() -> None:
    """Move a replica that runs on it to another container. Raises TestbedError."""
    held = [name for name, node in replicas().items() if node in (FREE, VM)]
    if not held:
        return
    known = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    names = {str(each["metadata"]["name"]) for each in known} & {FREE, VM}
    kubectl("cordon", *sorted(names))
    try:
        kubectl("-n", "kube-system", "delete", "pod", *held, "--wait=true", timeout=120)
        kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", timeout=300)
    finally:
        kubectl("uncordon", *sorted(names))
