"""The fields of a Pod that may enter a snapshot."""

from __future__ import annotations

from msgspec import field

from wirecheck.snapshot.objects.metadata import ApiStruct, Condition, Metadata


class ContainerPort(ApiStruct, frozen=True):
    container_port: int
    name: str = ""
    host_port: int = 0
    host_ip: str = field(default="", name="hostIP")
    protocol: str = "TCP"


class VolumeMount(ApiStruct, frozen=True):
    name: str = ""
    mount_path: str = ""
    sub_path: str = ""


class Container(ApiStruct, frozen=True):
    name: str
    image: str = ""
    ports: list[ContainerPort] = []
    restart_policy: str = ""
    volume_mounts: list[VolumeMount] = []
    """Of DNS replicas those of ConfigMaps; of all pods those at /etc and /etc/resolv.conf."""


class KeyToPath(ApiStruct, frozen=True):
    key: str = ""
    path: str = ""


class ConfigMapFiles(ApiStruct, frozen=True):
    name: str = ""
    items: list[KeyToPath] | None = None
    """The keys that become files; None for all."""


class VolumeSource(ApiStruct, frozen=True):
    config_map: ConfigMapFiles | None = None


class ProjectedVolume(ApiStruct, frozen=True):
    sources: list[VolumeSource] | None = None


class Volume(ApiStruct, frozen=True):
    name: str = ""
    config_map: ConfigMapFiles | None = None
    projected: ProjectedVolume | None = None


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
    volumes: list[Volume] = []
    """Of DNS replicas those of ConfigMaps."""


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
