"""The fields of a NetworkPolicy that may enter a snapshot."""

from __future__ import annotations

from msgspec import field

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata


class LabelExpression(ApiStruct, frozen=True):
    key: str
    operator: str
    values: list[str] = []


class LabelSelector(ApiStruct, frozen=True):
    match_labels: dict[str, str] = {}
    match_expressions: list[LabelExpression] = []


class IpBlock(ApiStruct, frozen=True):
    cidr: str = ""
    excluded: list[str] = field(default_factory=list, name="except")


class PolicyPeer(ApiStruct, frozen=True):
    """The other end of the allowed traffic."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IpBlock | None = None


class PolicyPort(ApiStruct, frozen=True):
    protocol: str = "TCP"
    port: int | str | None = None
    """A number, the name of a container's port, or None for every port."""
    end_port: int | None = None


class EgressRule(ApiStruct, frozen=True):
    """Traffic that is allowed. Recordings of older versions have rules without fields."""

    to: list[PolicyPeer] = []
    ports: list[PolicyPort] = []


class IngressRule(ApiStruct, frozen=True):
    """Traffic that is allowed."""

    sources: list[PolicyPeer] = field(default_factory=list, name="from")
    ports: list[PolicyPort] = []


class NetworkPolicySpec(ApiStruct, frozen=True):
    pod_selector: LabelSelector
    policy_types: list[str] = []
    egress: list[EgressRule] | None = None
    ingress: list[IngressRule] | None = None


class NetworkPolicyObject(ApiStruct, frozen=True):
    metadata: Metadata
    spec: NetworkPolicySpec
