"""The resources that are read from the API, their projection, and the few named ConfigMaps."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from msgspec import Struct, field

from wirecheck.network.registry import CONFIG_MAP_KEYS, FURTHER_KEYS
from wirecheck.snapshot.objects.calico_block import BlockAffinityObject, IpamBlockObject
from wirecheck.snapshot.objects.cilium_endpoint import CiliumEndpointObject
from wirecheck.snapshot.objects.config_map import ConfigMapObject
from wirecheck.snapshot.objects.daemon_set import DaemonSetObject
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.felix_configuration import FelixConfigurationObject
from wirecheck.snapshot.objects.ip_pool import IpPoolObject
from wirecheck.snapshot.objects.metadata import ALLOWED_ANNOTATIONS, Metadata
from wirecheck.snapshot.objects.namespace import NamespaceObject
from wirecheck.snapshot.objects.network_policy import NetworkPolicyObject
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.runtime_class import RuntimeClassObject
from wirecheck.snapshot.objects.service import ServiceObject

Object = NodeObject | PodObject | ServiceObject | EndpointSliceObject | NetworkPolicyObject
T = TypeVar("T")


class ListMetadata(Struct, frozen=True, rename="camel"):
    """The metadata of a page: the version of the whole list, and the next page's token."""

    resource_version: str = ""
    next: str = field(default="", name="continue")


class Page(Struct, Generic[T], frozen=True):
    """One page of a list."""

    metadata: ListMetadata = ListMetadata()
    items: list[T] | None = None


class Resource(Struct, frozen=True):
    """A resource that is listed over all namespaces."""

    plural: str
    kind: str
    group: str
    path: str
    type: Any
    """The type that its objects are projected to."""
    attribute: str
    """The field of `ApiObjects` that has them."""
    required: bool = True
    """Whether nothing can be checked without it; without an optional one, fewer checks apply."""
    watched: bool = True
    """Whether its changes during the visits are read, too."""
    one_rule: str = ""
    """The rule of a ClusterRole for all resources of its kind; empty if it has its own."""

    @property
    def page_type(self) -> Any:
        """The type that a page is decoded to: decoding is the projection."""
        page: Any = Page
        return page[self.type]

    @property
    def rule(self) -> str:
        """The rule of a ClusterRole that allows reading it."""
        if self.one_rule:
            return self.one_rule
        return rule(self.group, self.plural, verbs=LIST_AND_WATCH if self.watched else LIST)


GET, LIST, LIST_AND_WATCH = '["get"]', '["list"]', '["list", "watch"]'


def rule(group: str, plural: str, name: str = "", *, verbs: str = GET) -> str:
    """The RBAC rule for reading a resource, or only the object `name` of it."""
    names = f'resourceNames: ["{name}"], ' if name else ""
    return f'{{apiGroups: ["{group}"], resources: ["{plural}"], {names}verbs: {verbs}}}'


NODES = Resource("nodes", "Node", "", "/api/v1/nodes", NodeObject, "nodes")

RESOURCES: tuple[Resource, ...] = (
    NODES,
    Resource("pods", "Pod", "", "/api/v1/pods", PodObject, "pods"),
    Resource("services", "Service", "", "/api/v1/services", ServiceObject, "services"),
    Resource(
        "endpointslices",
        "EndpointSlice",
        "discovery.k8s.io",
        "/apis/discovery.k8s.io/v1/endpointslices",
        EndpointSliceObject,
        "endpoint_slices",
    ),
    Resource(
        "networkpolicies",
        "NetworkPolicy",
        "networking.k8s.io",
        "/apis/networking.k8s.io/v1/networkpolicies",
        NetworkPolicyObject,
        "network_policies",
        required=False,
    ),
)

DAEMON_SETS = Resource(
    "daemonsets",
    "DaemonSet",
    "apps",
    "/apis/apps/v1/daemonsets",
    DaemonSetObject,
    "daemon_sets",
    required=False,
    watched=False,
)
"""Read once in a round, and not watched: only the nodes that they select are used."""

NAMESPACES = Resource(
    "namespaces",
    "Namespace",
    "",
    "/api/v1/namespaces",
    NamespaceObject,
    "namespaces",
    required=False,
    watched=False,
)
"""Read for their labels, which selectors of policies name."""

RUNTIME_CLASSES = Resource(
    "runtimeclasses",
    "RuntimeClass",
    "node.k8s.io",
    "/apis/node.k8s.io/v1/runtimeclasses",
    RuntimeClassObject,
    "runtime_classes",
    required=False,
    watched=False,
)

CALICO = "crd.projectcalico.org"
CALICO_TYPES: Mapping[str, tuple[str, Any, str]] = {
    "ippools": ("IPPool", IpPoolObject, "ip_pools"),
    "ipamblocks": ("IPAMBlock", IpamBlockObject, "ipam_blocks"),
    "blockaffinities": ("BlockAffinity", BlockAffinityObject, "block_affinities"),
    "felixconfigurations": (
        "FelixConfiguration",
        FelixConfigurationObject,
        "felix_configurations",
    ),
}
"""By plural: the kind, its projection, and the field of `ApiObjects`."""
CALICO_RULE = rule(CALICO, '", "'.join(CALICO_TYPES), verbs=LIST)
CALICO_RESOURCES = tuple(
    Resource(
        plural,
        kind,
        CALICO,
        f"/apis/{CALICO}/v1/{plural}",
        projection,
        attribute,
        required=False,
        watched=False,
        one_rule=CALICO_RULE,
    )
    for plural, (kind, projection, attribute) in CALICO_TYPES.items()
)
"""Read only in clusters that have Calico's API group."""

CILIUM_ENDPOINTS = Resource(
    "ciliumendpoints",
    "CiliumEndpoint",
    "cilium.io",
    "/apis/cilium.io/v2/ciliumendpoints",
    CiliumEndpointObject,
    "cilium_endpoints",
    required=False,
    watched=False,
)
"""Read only in clusters that have Cilium's API group."""

COREFILE = "Corefile"
USUAL_COREFILE = "coredns"
"""The ConfigMap in kube-system that is read if no DNS replica shows what it mounts."""

CONFIG_MAPS = {
    "kube-proxy": "config.conf",
    USUAL_COREFILE: COREFILE,
    **CONFIG_MAP_KEYS,
}
"""The ConfigMaps in kube-system that are read, each with the one key that is kept."""

MOUNTED_COREFILES = ("rke2-coredns-rke2-coredns", "coredns-custom", "dns-default")
"""What DNS replicas of RKE2, AKS, k3s and OpenShift mount: the documented role allows these. Others
are read if the role allows them."""

MASQUERADING = {"ip-masq-agent": "config"}
"""What ip-masq-agent masquerades, with the key; read only in clusters with a pod of that name."""

RESOLV_CONF_MOUNTS = frozenset({"/etc", "/etc/resolv.conf"})
"""Mounts by which a pod has a resolv.conf of its own."""

DNS_ROLE = "system:coredns"
"""The name that kubeadm and most installers give to CoreDNS's ClusterRole and its binding."""

ROLES = "/apis/rbac.authorization.k8s.io/v1"

# CoreDNS plugins that take a secret on their line: route53, etcd, azure, tsig, redis.
_SECRET_LINE = re.compile(
    r"^([^\S\n]*(?:aws_access_key|credentials|secrets?|password|token|api_?key)\s).*$",
    re.IGNORECASE | re.MULTILINE,
)


def without_free_text(metadata: Metadata) -> None:
    """Drop all annotations that are not allowed from an object that was just decoded."""
    annotations = metadata.annotations
    for key in annotations.keys() - ALLOWED_ANNOTATIONS:
        del annotations[key]


def without_other_mounts(pod: PodObject) -> None:
    """Drop the volumes, and all mounts except those over resolv.conf."""
    pod.spec.volumes.clear()
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        container.volume_mounts[:] = [
            each
            for each in container.volume_mounts
            if posixpath.normpath(each.mount_path) in RESOLV_CONF_MOUNTS
        ]


def projected(config_map: ConfigMapObject) -> ConfigMapObject:
    """The ConfigMap with its keys, without the secrets that a Corefile can contain."""
    without_free_text(config_map.metadata)
    name, data = config_map.metadata.name, config_map.data
    keys = ({**CONFIG_MAPS, **MASQUERADING}.get(name, ""), *FURTHER_KEYS.get(name, ()))
    kept = {key: without_secrets(data[key]) for key in keys if key in data}
    return ConfigMapObject(metadata=config_map.metadata, data=kept)


def without_secrets(corefile: str) -> str:
    """The Corefile without the values of lines that take a secret."""
    return _SECRET_LINE.sub(r"\1[not kept]", corefile)
