"""Pools of nodes that must have the same settings, and the settings that differ in one pool."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.nodes import CONTROL_PLANE
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.dataplane.kube_chains import has_kubernetes_chains
from wirecheck.network.registry import NODE_FILES
from wirecheck.node.named_values import COUNT, facts_of
from wirecheck.snapshot.objects.node import NodeObject

if TYPE_CHECKING:
    from wirecheck.model.node import Node

POOL_LABELS = (
    "karpenter.sh/nodepool",
    "eks.amazonaws.com/nodegroup",
    "alpha.eksctl.io/nodegroup-name",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "agentpool",
    "kops.k8s.io/instancegroup",
    "doks.digitalocean.com/node-pool",
    "node.kubernetes.io/instance-type",
)
"""The labels that name a node's pool, the most specific first."""


BY_SIZE = (
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_buckets",
    "/sys/module/nf_conntrack/parameters/hashsize",
)
"""Values that the kernel and kube-proxy derive from a node's memory and CPUs."""

NODE_OWN = frozenset({"net.ipv4.ip_local_reserved_ports", "kernel.osrelease"}) | NODE_FILES
"""Values that are each node's own, that operators set per node, and duplicates of others."""

CHECKED_ELSEWHERE = re.compile(r"\.ip_forward$|\.forwarding$|\.bridge-nf-call-")
"""Sysctls that have checks of their own."""

MOST_NODES = 3
"""How many nodes are named; of more, the number is reported."""


def pool_of(node: NodeObject) -> str:
    """Return the pool of the node in words: `pool blue`, `the control plane`, `workers`."""
    labels = node.metadata.labels
    for label in POOL_LABELS:
        if labels.get(label):
            return f"pool {labels[label]}"
    return "the control plane" if any(label in labels for label in CONTROL_PLANE) else "workers"


def settings_of(node: Node) -> dict[str, str]:
    """Return the settings that nodes of one pool share, without those that were not seen."""
    counts = node.cluster.readers.texts.rule_counts
    facts = facts_of(node.object, node.visit, node.document, counts)
    settings = {name: value for name, value in facts.items() if _is_shared(name)}
    if variant := _variant(node):
        settings["variant of iptables"] = variant
    return settings


def _is_shared(name: str) -> bool:
    own = name.startswith(COUNT) or name in (*BY_SIZE, *NODE_OWN)
    return not own and not CHECKED_ELSEWHERE.search(name)


def _variant(node: Node) -> str:
    """Return the variant with Kubernetes' rules; empty if there is none, or it was not read.

    Another check reports nodes with rules in both variants.
    """
    try:
        rules = {"nft": node.iptables.rules, "legacy": node.iptables.legacy}
    except (FactMissingError, NotApplicable):
        return ""
    having = (name for name, by in rules.items() if any(map(has_kubernetes_chains, by.values())))
    return next(having, "")


@dataclass(frozen=True, slots=True)
class Drift:
    """A setting that differs between nodes of one pool."""

    pool: str
    what: str
    values: Mapping[str, tuple[str, ...]]
    """The nodes by value."""

    @property
    def most(self) -> str:
        """The value of more than half of the nodes; empty if there is none."""
        value, nodes = max(self.values.items(), key=lambda each: len(each[1]))
        return value if 2 * len(nodes) > sum(map(len, self.values.values())) else ""

    @property
    def found(self) -> str:
        """`wc-w1: 6.1.0; 12 nodes: 6.1.4`: the smallest group first."""
        groups = sorted(self.values.items(), key=lambda each: (len(each[1]), each))
        return "; ".join(f"{_named(nodes)}: {value}" for value, nodes in groups)


def drifts(
    nodes: Mapping[str, NodeObject], settings: Mapping[str, Mapping[str, str]]
) -> Iterator[Drift]:
    """Yield the settings that differ within each pool, among the nodes where they were seen."""
    pools = grouped((pool_of(nodes[name]), name) for name in sorted(settings) if name in nodes)
    for pool, members in sorted(pools.items()):
        for what in sorted({what for name in members for what in settings[name]}):
            having = (name for name in members if what in settings[name])
            values = grouped((settings[name][what], name) for name in having)
            if len(values) > 1:
                yield Drift(pool, what, values)


def _named(nodes: tuple[str, ...]) -> str:
    return ", ".join(nodes) if len(nodes) <= MOST_NODES else f"{len(nodes):,} nodes"
