"""What forwards Services on one node: kube-proxy, or a CNI plugin in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.catalogue.findings import NotApplicable
from wirecheck.network.registry import forwards_by_device
from wirecheck.node.dataplane import programmed_modes
from wirecheck.node.kube_proxy import KubeProxy
from wirecheck.node.kube_proxy_pods import is_kube_proxy
from wirecheck.node.netns import Netns
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.node_document import HttpAnswer


@dataclass(frozen=True)
class ServiceProxy:
    """The node's kube-proxy, if it has one.

    Parts that need kube-proxy for some of their properties take this: creating it never raises.
    """

    seen: NodeSeen

    @cached_property
    def kube_proxy(self) -> KubeProxy:
        """The node's kube-proxy. Raises NotApplicable where something else forwards Services."""
        seen = self.seen
        if replacement := seen.proxy_replacement:
            raise NotApplicable(f"{replacement} forwards Services on this node, not kube-proxy")
        pods = sorted(filter(is_kube_proxy, seen.pods), key=lambda each: not each.is_running)
        pod = next(iter(pods), None)
        if pod is None and (replacement := _replacement_on(seen.host, seen.http)):
            raise NotApplicable(f"{replacement} forwards Services on this node, not kube-proxy")
        containers = pod.object.spec.containers if pod else ()
        # A DaemonSet of another name has a ConfigMap of another name, which is not read.
        is_usual = pod is None or pod.ref.workload in ("", "DaemonSet/kube-proxy")
        configured = seen.cluster.proxy_configuration if is_usual else ""
        return KubeProxy(
            seen.name,
            seen.http,
            configured=configured,
            programmed=() if configured else programmed_modes(seen),
            image=containers[0].image if containers else "",
            kubelet_version=seen.object.status.node_info.kubelet_version,
            seen_at=seen.facts.finished,
        )


def _replacement_on(host: Netns, http: Mapping[str, HttpAnswer]) -> str:
    """Return what forwards Services on a node without a kube-proxy pod; empty if unknown.

    kube-proxy can also run without a pod (k3s, RKE2): then its endpoints answer.
    """
    if any(answer.status is not None for answer in http.values()):
        return ""
    return forwards_by_device({link.name for link in host.record.links})
