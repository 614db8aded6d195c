"""Which NetworkPolicy may block the traffic of a pod."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wirecheck.snapshot.objects.network_policy import (
    LabelExpression,
    LabelSelector,
    NetworkPolicyObject,
)
from wirecheck.snapshot.objects.pod import PodObject

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that every namespace has, with its name."""


def egress_policy_of(
    pod: PodObject, policies: Iterable[NetworkPolicyObject], *, rules_read: bool
) -> str:
    """The name of the first policy that restricts the pod's egress; empty if none does.

    Of the rules only those that allow everything count, if rules were read. A failed probe of a
    restricted pod is inconclusive; a probe that succeeds needs no policy that allows it.
    """
    found = policies_of(pod, policies, "Egress")
    rules = [rule for each in found for rule in each.spec.egress or ()]
    is_open = rules_read and any(not rule.to and not rule.ports for rule in rules)
    return name_of(found[0]) if found and not is_open else ""


def ingress_policy_of(
    pod: PodObject, policies: Iterable[NetworkPolicyObject], *, rules_read: bool
) -> str:
    """The name of the first policy that restricts the pod's ingress; empty if none does."""
    found = policies_of(pod, policies, "Ingress")
    rules = [rule for each in found for rule in each.spec.ingress or ()]
    is_open = rules_read and any(not rule.sources and not rule.ports for rule in rules)
    return name_of(found[0]) if found and not is_open else ""


def policies_of(
    pod: PodObject, policies: Iterable[NetworkPolicyObject], direction: str
) -> list[NetworkPolicyObject]:
    """The policies for one direction that select the pod."""
    return [
        policy
        for policy in policies
        if policy.metadata.namespace == pod.metadata.namespace
        and direction in policy.spec.policy_types
        and selects(policy.spec.pod_selector, pod.metadata.labels)
    ]


def name_of(policy: NetworkPolicyObject) -> str:
    """`NetworkPolicy shop/deny`."""
    return f"NetworkPolicy {policy.metadata.namespace}/{policy.metadata.name}"


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
