"""The fields of Kubernetes objects that may enter a snapshot: all others are dropped on reading.

Decoding a page into these types is the projection: no environment, no Secret, no managed
field, and of the annotations only the named ones get past it.
"""

from __future__ import annotations

import re

from msgspec import Struct, field
from msgspec.structs import force_setattr

ALLOWED_ANNOTATIONS = frozenset(
    {
        # A static pod's cgroup carries this hash, not the uid of its mirror in the API.
        "kubernetes.io/config.hash",
        "kubernetes.io/config.mirror",
        "flannel.alpha.coreos.com/backend-type",
        "flannel.alpha.coreos.com/backend-data",
        "flannel.alpha.coreos.com/backend-v6-data",
        "flannel.alpha.coreos.com/public-ip",
        "flannel.alpha.coreos.com/public-ipv6",
        "service.kubernetes.io/topology-mode",
        "service.kubernetes.io/topology-aware-hints",
        "sidecar.istio.io/status",
    }
)
"""Annotations are free text and may hold anything: these are read, and no others."""


NETWORK_STATUS = re.compile(r"NetworkReady=false reason:\w* message:[^,\]]{0,200}")
"""How the kubelet quotes the runtime's network status in the message of its Ready condition."""


class ApiStruct(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A projected object; unknown fields are left out, missing ones take their default."""


class OwnerReference(ApiStruct, frozen=True):
    kind: str
    name: str
    uid: str = ""
    controller: bool = False


class Metadata(ApiStruct, frozen=True):
    name: str
    uid: str = ""
    namespace: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[OwnerReference] = []


class Condition(ApiStruct, frozen=True):
    type: str
    status: str
    reason: str = ""
    last_transition_time: str = ""


class NodeCondition(Condition, frozen=True):
    """A condition of a node; of its message what the runtime tells of the network, if anything."""

    message: str = ""

    def __post_init__(self) -> None:
        """Messages are free text: all else is dropped."""
        found = NETWORK_STATUS.search(self.message)
        force_setattr(self, "message", found[0] if found else "")


class NodeAddress(ApiStruct, frozen=True):
    type: str
    address: str


class Taint(ApiStruct, frozen=True):
    key: str
    effect: str
    value: str = ""


class NodeSpec(ApiStruct, frozen=True):
    pod_cidr: str = field(default="", name="podCIDR")
    pod_cidrs: list[str] = field(default_factory=list, name="podCIDRs")
    provider_id: str = field(default="", name="providerID")
    unschedulable: bool = False
    taints: list[Taint] = []


class NodeInfo(ApiStruct, frozen=True):
    machine_id: str = field(default="", name="machineID")
    system_uuid: str = field(default="", name="systemUUID")
    boot_id: str = field(default="", name="bootID")
    kernel_version: str = ""
    os_image: str = ""
    operating_system: str = ""
    architecture: str = ""
    container_runtime_version: str = ""
    kubelet_version: str = ""


class KubeletEndpoint(ApiStruct, frozen=True):
    port: int = field(default=0, name="Port")


class DaemonEndpoints(ApiStruct, frozen=True):
    kubelet_endpoint: KubeletEndpoint = KubeletEndpoint()


class NodeStatus(ApiStruct, frozen=True):
    addresses: list[NodeAddress] = []
    daemon_endpoints: DaemonEndpoints = DaemonEndpoints()
    conditions: list[NodeCondition] = []
    node_info: NodeInfo = NodeInfo()


class NodeObject(ApiStruct, frozen=True):
    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class ContainerPort(ApiStruct, frozen=True):
    container_port: int
    name: str = ""
    host_port: int = 0
    host_ip: str = field(default="", name="hostIP")
    protocol: str = "TCP"


class Container(ApiStruct, frozen=True):
    name: str
    image: str = ""
    ports: list[ContainerPort] = []
    restart_policy: str = ""


class DnsOption(ApiStruct, frozen=True):
    name: str
    value: str | None = None


class DnsConfig(ApiStruct, frozen=True):
    nameservers: list[str] = []
    searches: list[str] = []
    options: list[DnsOption] = []


class PodSpec(ApiStruct, frozen=True):
    node_name: str = ""
    host_network: bool = False
    hostname: str = ""
    subdomain: str = ""
    dns_policy: str = "ClusterFirst"
    dns_config: DnsConfig | None = None
    runtime_class_name: str = ""
    restart_policy: str = "Always"
    containers: list[Container] = []
    init_containers: list[Container] = []


class PodIP(ApiStruct, frozen=True):
    ip: str = ""


class StateTerminated(ApiStruct, frozen=True):
    reason: str = ""
    exit_code: int = 0
    finished_at: str = ""


class ContainerState(ApiStruct, frozen=True):
    running: dict[str, str] | None = None
    terminated: StateTerminated | None = None


class ContainerStatus(ApiStruct, frozen=True):
    name: str
    ready: bool = False
    restart_count: int = 0
    container_id: str = field(default="", name="containerID")
    image: str = ""
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodStatus(ApiStruct, frozen=True):
    phase: str = ""
    pod_ip: str = field(default="", name="podIP")
    pod_ips: list[PodIP] = field(default_factory=list, name="podIPs")
    host_ip: str = field(default="", name="hostIP")
    start_time: str = ""
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []


class PodObject(ApiStruct, frozen=True):
    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class ServicePortSpec(ApiStruct, frozen=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str = 0
    node_port: int = 0
    app_protocol: str = ""


class ClientIpConfig(ApiStruct, frozen=True):
    timeout_seconds: int = 10800


class SessionAffinityConfig(ApiStruct, frozen=True):
    client_ip: ClientIpConfig | None = field(default=None, name="clientIP")


class ServiceSpec(ApiStruct, frozen=True):
    type: str = "ClusterIP"
    cluster_ip: str = field(default="", name="clusterIP")
    cluster_ips: list[str] = field(default_factory=list, name="clusterIPs")
    ip_families: list[str] = []
    ip_family_policy: str = ""
    external_ips: list[str] = field(default_factory=list, name="externalIPs")
    external_name: str = ""
    load_balancer_source_ranges: list[str] = []
    external_traffic_policy: str = ""
    internal_traffic_policy: str = ""
    traffic_distribution: str = ""
    health_check_node_port: int = 0
    session_affinity: str = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    publish_not_ready_addresses: bool = False
    selector: dict[str, str] = {}
    ports: list[ServicePortSpec] = []


class LoadBalancerIngress(ApiStruct, frozen=True):
    ip: str = ""
    hostname: str = ""
    ip_mode: str = "VIP"


class LoadBalancerStatus(ApiStruct, frozen=True):
    ingress: list[LoadBalancerIngress] = []


class ServiceStatus(ApiStruct, frozen=True):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class ServiceObject(ApiStruct, frozen=True):
    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class EndpointConditions(ApiStruct, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetRef(ApiStruct, frozen=True):
    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class HintZone(ApiStruct, frozen=True):
    name: str


class EndpointHints(ApiStruct, frozen=True):
    for_zones: list[HintZone] | None = None
    for_nodes: list[HintZone] | None = None


class Endpoint(ApiStruct, frozen=True):
    addresses: list[str] = []
    conditions: EndpointConditions = EndpointConditions()
    hostname: str = ""
    node_name: str = ""
    zone: str = ""
    target_ref: TargetRef | None = None
    hints: EndpointHints | None = None


class EndpointPort(ApiStruct, frozen=True):
    name: str | None = None
    port: int | None = None
    protocol: str = "TCP"


class EndpointSliceObject(ApiStruct, frozen=True):
    metadata: Metadata
    address_type: str = "IPv4"
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None


class LabelExpression(ApiStruct, frozen=True):
    key: str
    operator: str
    values: list[str] = []


class LabelSelector(ApiStruct, frozen=True):
    match_labels: dict[str, str] = {}
    match_expressions: list[LabelExpression] = []


class EgressRule(ApiStruct, frozen=True):
    """That there is a rule counts here, not what it allows: it keeps no field."""


class NetworkPolicySpec(ApiStruct, frozen=True):
    pod_selector: LabelSelector
    policy_types: list[str] = []
    egress: list[EgressRule] | None = None


class NetworkPolicyObject(ApiStruct, frozen=True):
    metadata: Metadata
    spec: NetworkPolicySpec


class ConfigMapObject(ApiStruct, frozen=True):
    """Only the named configuration keys of the named ConfigMaps, see `collect/api.py`."""

    metadata: Metadata
    data: dict[str, str] = {}


class PolicyRule(ApiStruct, frozen=True):
    api_groups: list[str] = []
    resources: list[str] = []
    verbs: list[str] = []


class ClusterRoleObject(ApiStruct, frozen=True):
    """Only those that DNS goes by, see `collect/api.py`."""

    metadata: Metadata
    rules: list[PolicyRule] | None = None


class RoleSubject(ApiStruct, frozen=True):
    kind: str
    name: str
    namespace: str = ""


class RoleRef(ApiStruct, frozen=True):
    kind: str = ""
    name: str = ""


class ClusterRoleBindingObject(ApiStruct, frozen=True):
    """Only those that DNS goes by, see `collect/api.py`."""

    metadata: Metadata
    role_ref: RoleRef = RoleRef()
    subjects: list[RoleSubject] | None = None


class ApiObjects(ApiStruct, frozen=True, weakref=True):
    """Everything read from the API in one look.

    `resource_versions` holds, per resource, the version that its list was consistent at.
    """

    nodes: list[NodeObject] = []
    pods: list[PodObject] = []
    services: list[ServiceObject] = []
    endpoint_slices: list[EndpointSliceObject] = []
    network_policies: list[NetworkPolicyObject] = []
    config_maps: list[ConfigMapObject] = []
    cluster_roles: list[ClusterRoleObject] = []
    cluster_role_bindings: list[ClusterRoleBindingObject] = []
    resource_versions: dict[str, str] = {}
    server_version: str = ""
    cluster_uid: str = ""
    """The uid of namespace kube-system: the usual identity of a cluster."""


class Change(ApiStruct, frozen=True):
    """An object that was created, deleted or changed, in a field that counts, during a look."""

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    what: str = ""
    """`added`, `deleted`, or the fields that changed."""
