"""The recorded worker and its cluster: what the nodes of a synthetic cluster are made of."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import structs

from benchmarks import system_services
from benchmarks.system_services import SystemServices
from wirecheck.cli.demo import recorded
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.netns import Namespace
from wirecheck.snapshot.node_document import NodeDocument, PodFile
from wirecheck.snapshot.node_settings import Kubelet
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import PodObject

WORKER, TUNNEL, BRIDGE, DEVICE = "wc-w2", "flannel.1", "cni0", "eth0"
FLANNEL_SETTINGS = "/run/flannel/subnet.env"


@dataclass(frozen=True)
class Recorded:
    """What nodes are made of."""

    api: ApiObjects
    document: NodeDocument
    rules: NodeDocument
    system: SystemServices

    @classmethod
    def with_rules(cls, rules: NodeDocument) -> Recorded:
        """The recorded healthy cluster, with other rules."""
        snapshot = Snapshot.open(recorded("healthy"))
        api, document = snapshot.api(), _without_masquerading(snapshot.document(WORKER))
        return cls(api, document, rules, SystemServices.recorded(api, document))

    @property
    def node(self) -> NodeObject:
        return next(each for each in self.api.nodes if each.metadata.name == WORKER)

    @property
    def tunnel(self) -> int:
        """The index of the VXLAN device."""
        links = self.document.namespaces[0].links
        return next(each.index for each in links if each.name == TUNNEL)

    @property
    def pod(self) -> PodObject:
        """One of the worker's pods with an address of its own that ask the cluster's DNS."""
        return next(
            each
            for each in self.api.pods
            if each.spec.node_name == WORKER
            and each.spec.dns_policy == "ClusterFirst"
            and each.metadata.namespace == "shop"
            and not each.spec.host_network
        )

    def resolv_conf(self, uid: str) -> PodFile:
        """What that pod's resolv.conf is in the synthetic cluster."""
        file = next(each.resolv_conf for each in self.document.pods if each.uid == uid)
        return structs.replace(file, text=self._with_its_dns(file.text))

    @property
    def kubelet(self) -> Kubelet | None:
        """What the kubelet tells pods of DNS in the synthetic cluster."""
        found = self.document.kubelet
        if found is None:
            return None
        return structs.replace(found, lines=[self._with_its_dns(each) for each in found.lines])

    def _with_its_dns(self, text: str) -> str:
        (server,) = (
            each.spec.cluster_ip for each in self.api.services if each.metadata.name == "kube-dns"
        )
        return text.replace(server, system_services.DNS)

    @property
    def netns(self) -> Namespace:
        """The netns of that pod."""
        return next(
            each
            for each in self.document.namespaces[1:]
            if any(a.address == self.pod.status.pod_ip for a in each.addresses)
        )


def _without_masquerading(document: NodeDocument) -> NodeDocument:
    """The same, of a flannel that does not masquerade: kube-proxy alone wrote the rules."""
    text = document.files.get(FLANNEL_SETTINGS, "")
    settings = text.replace("FLANNEL_IPMASQ=true", "FLANNEL_IPMASQ=false")
    return structs.replace(document, files={**document.files, FLANNEL_SETTINGS: settings})
