"""Which NetworkPolicy may block the traffic of a pod."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wirecheck.snapshot.objects.network_policy import (
    LabelExpression,
    LabelSelector,
    NetworkPolicyObject,
)
from wirecheck.snapshot.objects.pod import PodObject


def egress_policy_of(pod: PodObject, policies: Iterable[NetworkPolicyObject]) -> str:
    """The name of the first policy that restricts the pod's egress; empty if none does.

    The policy's rules are not evaluated. A failed probe of such a pod is inconclusive; a probe
    that succeeds needs no policy that allows it.
    """
    return _policy_of(pod, policies, "Egress")


def ingress_policy_of(pod: PodObject, policies: Iterable[NetworkPolicyObject]) -> str:
    """The name of the first policy that restricts the pod's ingress; empty if none does."""
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
    """Whether a label selector matches; an empty selector matches everything."""
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _matches(expression, labels) for expression in selector.match_expressions
    )


def _matches(expression: LabelExpression, labels: Mapping[str, str]) -> bool:
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
    # An unknown operator: the policy may select the pod, so its probes are inconclusive.
    return True
