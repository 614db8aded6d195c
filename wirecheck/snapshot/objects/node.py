"""The fields of a Node that may enter a snapshot."""

from __future__ import annotations

import re

from msgspec import field
from msgspec.structs import force_setattr

from wirecheck.snapshot.objects.metadata import ApiStruct, Condition, Metadata

NETWORK_STATUS = re.compile(r"NetworkReady=false reason:\w* message:[^,\]]{0,200}")
"""How the kubelet quotes the runtime's network status in the message of its Ready condition."""


class NodeCondition(Condition, frozen=True):
    """A condition of a node; only the runtime's network status is kept of its message."""

    message: str = ""

    def __post_init__(self) -> None:
        """Messages are free text, so everything else is dropped."""
        found = NETWORK_STATUS.search(self.message)
        force_setattr(self, "message", found[0] if found else "")


class NodeAddress(ApiStruct, frozen=True):
    """An address of a node; the API server accepts any text, also none."""

    type: str = ""
    address: str = ""


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
