"""Whether a policy of another kind than NetworkPolicy can block anything in one direction.

A policy that only allows traffic does not excuse a failed connection. Whatever is not recognised
counts as blocking: then the pod is inconclusive, not failing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CILIUM, CALICO = "cilium.io", "crd.projectcalico.org"
ALLOWING = frozenset({"Allow", "Accept", "Pass"})
"""Actions of rules that block nothing. Kinds other than Cilium's and Calico's have no default that
denies: what no rule names is allowed."""


def can_block(spec: Mapping[str, Any], group: str, direction: str) -> bool:
    """Whether the policy can block `Egress` or `Ingress` traffic of the pods that it selects."""
    key = direction.lower()
    rules = spec.get(key)
    if group == CILIUM:
        return _can_block_in_cilium(spec, key)
    if not isinstance(rules, list) or not rules:
        return True
    if group == CALICO:
        # The first rule that matches decides; without any other field it matches everything.
        first = rules[0]
        return not (
            isinstance(first, Mapping)
            and first.get("action") == "Allow"
            and first.keys() <= {"action", "metadata"}
        )
    actions = [_action(each) for each in rules]
    return not all(each in ALLOWING for each in actions)


def _can_block_in_cilium(spec: Mapping[str, Any], key: str) -> bool:
    """A policy denies what it does not allow, unless `enableDefaultDeny` is false."""
    if spec.get(f"{key}Deny"):
        return True
    default = spec.get("enableDefaultDeny")
    if isinstance(default, Mapping) and default.get(key) is False:
        return False
    entities = {"egress": "toEntities", "ingress": "fromEntities"}[key]
    rules = spec.get(key)
    return not any(
        isinstance(each, Mapping)
        and each.keys() == {entities}
        and isinstance(each[entities], list)
        and "all" in each[entities]
        for each in (rules if isinstance(rules, list) else ())
    )


def _action(rule: Any) -> str:
    """The action of a rule; empty if it has none. An EgressFirewall calls it `type`."""
    found = rule.get("action", rule.get("type")) if isinstance(rule, Mapping) else None
    return found if isinstance(found, str) else ""
