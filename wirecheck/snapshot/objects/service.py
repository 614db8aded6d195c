"""The fields of a Service that may enter a snapshot."""

from __future__ import annotations

from msgspec import field

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata


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
