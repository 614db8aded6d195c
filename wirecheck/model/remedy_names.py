"""Names for the placeholders of remedies: what a finding's command needs, as far as it is known."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.coredns import CoreDns
from wirecheck.catalogue.findings import FactMissingError, Finding, NotApplicable, Ref
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.node.kube_proxy_pods import is_kube_proxy

KINDS = {"Node": "node", "Pod": "pod", "Service": "service"}
"""From the kind of a finding's object to the placeholder for its name."""

UNKNOWN = (NotApplicable, FactMissingError, ValueError)
"""Why a name is not filled in. A damaged address is an error of the checks that evaluate it, and
must not cost the findings of others."""


@dataclass(frozen=True)
class RemedyNames:
    """The names that the findings about one node, or about the cluster, can use."""

    subject: Node | Cluster

    def of(self, finding: Finding) -> Mapping[str, str]:
        """Return the names for one finding; the check's own names win."""
        about = finding.subject
        names = {"namespace": about.namespace, **self._shared, **self._of_pod(about)}
        if about.kind in KINDS:
            names[KINDS[about.kind]] = about.name
        return {**names, **dict(finding.names)}

    @cached_property
    def _shared(self) -> Mapping[str, str]:
        if isinstance(self.subject, Cluster):
            return _of_cluster(self.subject)
        return {**_of_cluster(self.subject.cluster), **_of_node(self.subject)}

    def _of_pod(self, about: Ref) -> Mapping[str, str]:
        if about.kind != "Pod" or not isinstance(self.subject, Node):
            return {}
        with suppress(*UNKNOWN):
            pod = next((each for each in self.subject.pods if each.ref.uid == about.uid), None)
            netns = self.subject.namespaces.netns_of(pod) if pod else None
            return {"netns": netns.record.mounted} if netns else {}
        return {}


def _of_cluster(cluster: ClusterSeen) -> Mapping[str, str]:
    names: dict[str, str] = {}
    with suppress(*UNKNOWN):
        services = sorted(map(str, cluster.dns.service_addresses))
        names = {
            "dns_domain": cluster.dns.domain,
            "dns_service": next(iter(services), ""),
            "dns_service_name": cluster.dns.service,
            "dns_namespace": cluster.dns.namespace,
            "dns_configmap": cluster.dns.config_map,
            "dns_selector": cluster.dns.selector,
        }
    with suppress(*UNKNOWN):
        names["upstream"] = CoreDns(cluster.api, cluster.dns.replicas).upstream
    return names


def _of_node(node: Node) -> Mapping[str, str]:
    names = {"node": node.name}
    names["kube_proxy_pod"] = next((pod.name for pod in node.pods if is_kube_proxy(pod)), "")
    with suppress(*UNKNOWN):
        _, agents = node.cni.agents
        for agent in agents[:1]:
            names |= {"cni_pod": agent.name, "cni_namespace": agent.namespace}
    return names
