"""The fields of a NetworkPolicy that may enter a snapshot."""

from __future__ import annotations

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata


class LabelExpression(ApiStruct, frozen=True):
    key: str
    operator: str
    values: list[str] = []


class LabelSelector(ApiStruct, frozen=True):
    match_labels: dict[str, str] = {}
    match_expressions: list[LabelExpression] = []


class EgressRule(ApiStruct, frozen=True):
    """A rule; only its existence matters, so no field is kept."""


class NetworkPolicySpec(ApiStruct, frozen=True):
    pod_selector: LabelSelector
    policy_types: list[str] = []
    egress: list[EgressRule] | None = None


class NetworkPolicyObject(ApiStruct, frozen=True):
    metadata: Metadata
    spec: NetworkPolicySpec
