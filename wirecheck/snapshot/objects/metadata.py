"""The fields of all kinds that may enter a snapshot: names, labels, owners, conditions."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import force_setattr

ALLOWED_ANNOTATIONS = frozenset(
    {
        # A static pod's cgroup path contains this hash, not the uid of its mirror pod in the API.
        "kubernetes.io/config.hash",
        "kubernetes.io/config.mirror",
        "flannel.alpha.coreos.com/backend-type",
        "flannel.alpha.coreos.com/backend-data",
        "flannel.alpha.coreos.com/backend-v6-data",
        "flannel.alpha.coreos.com/public-ip",
        "flannel.alpha.coreos.com/public-ipv6",
        "projectcalico.org/IPv4Address",
        "projectcalico.org/IPv6Address",
        "projectcalico.org/IPv4IPIPTunnelAddr",
        "projectcalico.org/IPv4VXLANTunnelAddr",
        "projectcalico.org/IPv6VXLANTunnelAddr",
        "projectcalico.org/VXLANTunnelMACAddr",
        "projectcalico.org/VXLANTunnelMACAddrV6",
        "flannel.alpha.coreos.com/public-ip-overwrite",
        "flannel.alpha.coreos.com/public-ipv6-overwrite",
        "service.kubernetes.io/topology-mode",
        "service.kubernetes.io/topology-aware-hints",
        # What changes how Cilium forwards a Service, or takes endpoints out of use.
        "service.cilium.io/global",
        "io.cilium/global-service",
        "service.cilium.io/node",
        "service.cilium.io/node-selector",
        "service.cilium.io/type",
        "service.cilium.io/src-ranges-policy",
        "service.cilium.io/proxy-delegation",
        "service.cilium.io/weight",
        "sidecar.istio.io/status",
        "kwok.x-k8s.io/node",
    }
)
"""Annotations are free text and may contain anything, so only these are read."""


class ApiStruct(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A projected object; unknown fields are left out, missing ones take their default."""


class OwnerReference(ApiStruct, frozen=True):
    kind: str
    name: str
    uid: str = ""
    controller: bool = False


class ManagedFields(ApiStruct, frozen=True, gc=False):
    """When one field manager last wrote its fields of an object."""

    time: str = ""
    subresource: str = ""


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
    written: str = ""
    """When the object was last written, apart from its status, by the API server's clock. Empty in
    recordings of older versions."""
    status_written: str = ""
    """The same of its status."""
    managed_fields: list[ManagedFields] = []
    """As the API shows them; a snapshot has the two times above instead."""

    def __post_init__(self) -> None:
        """Keep only the latest times, not who wrote which fields."""
        if self.managed_fields:
            of_status = [each.time for each in self.managed_fields if each.subresource]
            others = [each.time for each in self.managed_fields if not each.subresource]
            force_setattr(self, "written", max(others, default=""))
            force_setattr(self, "status_written", max(of_status, default=""))
            force_setattr(self, "managed_fields", [])


class Condition(ApiStruct, frozen=True):
    type: str
    status: str
    reason: str = ""
    last_transition_time: str = ""


def is_true(conditions: Iterable[Condition], type_: str) -> bool:
    """Whether the condition of that type exists and is True."""
    return any(each.type == type_ and each.status == "True" for each in conditions)


def is_ready(conditions: Iterable[Condition]) -> bool:
    """Whether the condition Ready of a node or a pod is True."""
    return is_true(conditions, "Ready")
