"""Whether a NetworkPolicy may rightly stop what a pod sends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wirecheck.snapshot.objects.network_policy import (
    LabelExpression,
    LabelSelector,
    NetworkPolicyObject,
)
from wirecheck.snapshot.objects.pod import PodObject


def egress_policy_of(pod: PodObject, policies: Iterable[NetworkPolicyObject]) -> str:
    """The first policy that restricts the pod's egress, by name; empty where none does.

    Whether the policy allows DNS is not worked out: a probe that passes needs no excuse.
    """
    return _policy_of(pod, policies, "Egress")


def ingress_policy_of(pod: PodObject, policies: Iterable[NetworkPolicyObject]) -> str:
    """The first policy that restricts who reaches the pod, by name; empty where none does."""
    return _policy_of(pod, policies, "Ingress")


def _policy_of(pod: PodObject, policies: Iterable[NetworkPolicyObject], direction: str) -> str:
    for policy in policies:
        if (
            policy.metadata.namespace == pod.metadata.namespace
            and direction in policy.spec.policy_types
            and selects(policy.spec.pod_selector, pod.metadata.labels)
        ):
            return f"NetworkPolicy {policy.metadata.namespace}/{policy.metadata.name}"
    return ""


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Kubernetes' label selection; an empty selector selects everything."""
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _holds(expression, labels) for expression in selector.match_expressions
    )


def _holds(expression: LabelExpression, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.key)
    match expression.operator:
        case "In":
            return value in expression.values
        case "NotIn":
            return value not in expression.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    # An operator of the future: the policy might select the pod, so its probe is not judged.
    return True
