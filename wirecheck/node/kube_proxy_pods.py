"""Which pods are kube-proxy: anybody may create a pod of that name in another namespace."""

from __future__ import annotations

import re

from wirecheck.api_index.pod import Pod

KUBE_PROXY = "kube-proxy"
NAMESPACE = "kube-system"
"""kubeadm, managed clusters and RKE2 run it there."""

_IMAGE = re.compile(r"(?:^|/)kube-proxy(?:[-:@]|$)")
_STATIC = ("Node", "Pod")
"""Kinds in the workload of a static pod: the API's mirror of it is owned by its node."""


def has_its_image(pod: Pod) -> bool:
    """Return whether a container has kube-proxy's image, from whichever registry."""
    return any(_IMAGE.search(each.image) for each in pod.object.spec.containers)


def is_kube_proxy(pod: Pod) -> bool:
    """Return whether the pod is the node's kube-proxy, by its namespace, owner and network.

    kube-proxy is always on the host network: it writes rules into the netns that it runs in. Pods
    beside it may be called like it, as exporters are, and then have another image. RKE2's has
    another image, too, but is a static pod.
    """
    kind, _, name = pod.ref.workload.partition("/")
    if pod.namespace != NAMESPACE or not pod.on_host_network:
        return False
    if kind in _STATIC:
        return pod.name.startswith(KUBE_PROXY)
    if kind != "DaemonSet" or not name.startswith(KUBE_PROXY):
        return False
    return name == KUBE_PROXY or has_its_image(pod)
