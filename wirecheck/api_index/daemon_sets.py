"""On which nodes the DaemonSet controller runs a pod of a DaemonSet.

The same decision as the controller's own (NodeShouldRunDaemonPod in Kubernetes'
pkg/controller/daemon): spec.nodeName, the node selector and the required node affinity, and the
taints that the pod does not tolerate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from wirecheck.snapshot.objects.daemon_set import (
    DaemonPodSpec,
    DaemonSetObject,
    NodeSelectorTerm,
    Toleration,
)
from wirecheck.snapshot.objects.network_policy import LabelExpression
from wirecheck.snapshot.objects.node import NodeObject, Taint

ADDED = (
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
)
"""Taints that every pod of a DaemonSet tolerates: the controller adds the tolerations."""
ADDED_ON_HOST_NETWORK = "node.kubernetes.io/network-unavailable"

EFFECTS = ("NoSchedule", "NoExecute")
"""The effects that keep a pod away. PreferNoSchedule only ranks nodes."""


def why_not_on(daemon_set: DaemonSetObject, node: NodeObject) -> str:
    """Why the DaemonSet runs no pod on the node, as `its node selector`; empty if it runs one."""
    spec = daemon_set.spec.template.spec
    if spec.node_name and spec.node_name != node.metadata.name:
        return f"its pods are for node {spec.node_name}"
    labels = node.metadata.labels
    for key, value in sorted(spec.node_selector.items()):
        if labels.get(key) != value:
            return f"its node selector is {key}={value}"
    if not _matches_affinity(spec, node):
        return "its node affinity does not match the node"
    for taint in untolerated(spec, node.spec.taints):
        return f"it does not tolerate the taint {taint.key}:{taint.effect}"
    return ""


def untolerated(spec: DaemonPodSpec, taints: Iterable[Taint]) -> Iterator[Taint]:
    """Yield the taints that keep the DaemonSet's pods away from a node."""
    for taint in taints:
        if taint.effect not in EFFECTS or taint.key in ADDED:
            continue
        if taint.key == ADDED_ON_HOST_NETWORK and spec.host_network:
            continue
        if not any(_tolerates(each, taint) for each in spec.tolerations):
            yield taint


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in ("", taint.effect):
        return False
    # An empty key with the operator Exists tolerates everything.
    if toleration.key != taint.key and (toleration.key or toleration.operator != "Exists"):
        return False
    comparison = _compared(taint.value, toleration.value)
    fits = {
        "Exists": True,
        "Equal": toleration.value == taint.value,
        "Gt": comparison > 0,
        "Lt": comparison < 0,
    }
    return fits.get(toleration.operator or "Equal", False)


def _matches_affinity(spec: DaemonPodSpec, node: NodeObject) -> bool:
    """Whether one of the required terms matches. A list without terms matches no node."""
    affinity = spec.affinity.node_affinity if spec.affinity else None
    if affinity is None or affinity.required is None:
        return True
    return any(_matches(term, node) for term in affinity.required.node_selector_terms)


def _matches(term: NodeSelectorTerm, node: NodeObject) -> bool:
    """Whether all expressions of the term match. A term without any matches no node."""
    fields = {"metadata.name": node.metadata.name}
    wanted = [(each, node.metadata.labels) for each in term.match_expressions]
    wanted += [(each, fields) for each in term.match_fields]
    return bool(wanted) and all(_fits(each, values) for each, values in wanted)


def _fits(expression: LabelExpression, values: Mapping[str, str]) -> bool:
    value = values.get(expression.key)
    comparison = _compared(value, *expression.values[:1])
    fits = {
        "In": value in expression.values,
        "NotIn": value not in expression.values,  # as a node without the label
        "Exists": value is not None,
        "DoesNotExist": value is None,
        "Gt": comparison > 0,
        "Lt": comparison < 0,
    }
    return fits.get(expression.operator, False)


def _compared(value: str | None, limit: str = "") -> int:
    """The sign of `value` - `limit`; 0 if one of them is not an integer, which never matches."""
    try:
        first, second = int(value or ""), int(limit)
    except ValueError:
        return 0
    return (first > second) - (first < second)
