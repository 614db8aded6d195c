"""The objects read from the API in one round, reduced to the fields that may enter a snapshot.

Decoding a page into these types is the projection: it drops environment variables, Secrets,
managed fields, and all annotations except the named ones. Each kind has its file in `objects/`;
a field that is not named there is dropped on reading.
"""

from __future__ import annotations

from wirecheck.snapshot.objects.calico_block import BlockAffinityObject, IpamBlockObject
from wirecheck.snapshot.objects.cilium_endpoint import CiliumEndpointObject
from wirecheck.snapshot.objects.cluster_role import ClusterRoleBindingObject, ClusterRoleObject
from wirecheck.snapshot.objects.config_map import ConfigMapObject
from wirecheck.snapshot.objects.daemon_set import DaemonSetObject
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.felix_configuration import FelixConfigurationObject
from wirecheck.snapshot.objects.ip_pool import IpPoolObject
from wirecheck.snapshot.objects.metadata import ApiStruct
from wirecheck.snapshot.objects.namespace import NamespaceObject
from wirecheck.snapshot.objects.network_policy import NetworkPolicyObject
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.other_policy import OtherPolicyObject
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.runtime_class import RuntimeClassObject
from wirecheck.snapshot.objects.service import ServiceObject


class OddField(ApiStruct, frozen=True):
    """A field of one object whose value is unusable and left out, or has an unusual form."""

    kind: str
    name: str
    field: str
    """`spec.containers[0].ports[0].hostIP`."""
    found: str
    """The value, or why it cannot be decoded; shortened."""
    namespace: str = ""
    uid: str = ""
    read_as: str = ""
    """What Kubernetes' components read it as; empty if they cannot read it either."""


class ApiObjects(ApiStruct, frozen=True, weakref=True):
    """Everything read from the API in one round.

    `resource_versions` holds, per resource, the version that its list was consistent at.
    """

    nodes: list[NodeObject] = []
    pods: list[PodObject] = []
    services: list[ServiceObject] = []
    endpoint_slices: list[EndpointSliceObject] = []
    network_policies: list[NetworkPolicyObject] = []
    other_policies: list[OtherPolicyObject] = []
    policy_kinds: dict[str, str] = {}
    """The kinds of policies beside NetworkPolicy that the cluster has: `read` or `unreadable`. None
    in recordings that did not look for them, whereas `any: absent` shows that there are none."""
    daemon_sets: list[DaemonSetObject] = []
    runtime_classes: list[RuntimeClassObject] = []
    namespaces: list[NamespaceObject] = []
    """With their labels; none if they could not be read, and in recordings of older versions."""
    ip_pools: list[IpPoolObject] = []
    """Those of Calico; none in recordings of older versions."""
    ipam_blocks: list[IpamBlockObject] = []
    block_affinities: list[BlockAffinityObject] = []
    felix_configurations: list[FelixConfigurationObject] = []
    cilium_endpoints: list[CiliumEndpointObject] = []
    """None without Cilium, if they could not be read, and in recordings of older versions."""
    config_maps: list[ConfigMapObject] = []
    cluster_roles: list[ClusterRoleObject] = []
    cluster_role_bindings: list[ClusterRoleBindingObject] = []
    resource_versions: dict[str, str] = {}
    server_version: str = ""
    cluster_uid: str = ""
    """The uid of namespace kube-system: the usual identity of a cluster."""
    mounts_read: bool = False
    """Whether the pods show what they mount; older programs did not read that."""
    policy_rules_read: bool = False
    """Whether NetworkPolicies have their rules; older programs did not read those."""
    undecodable: list[OddField] = []
    """Fields that were left out when the API was read, because they have another type."""


REPORTED = frozenset({"ready", "networkUnavailable", "unschedulable", "labels", "endpoints"})
"""Changed fields of nodes, pods and Services that do not affect how these are set up on a node: the
state that they report, and which pods are selected."""
OTHER_LABELS = "other labels"
"""A change of labels that no selector names. It does not affect any check: otherwise anyone who may
label a pod could make findings about it inconclusive."""


class Change(ApiStruct, frozen=True):
    """An object that was created, deleted or changed in a relevant field during a round."""

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    what: str = ""
    """`added`, `deleted`, or the fields that changed."""
