"""Pools of nodes that are meant to be alike, and what differs between the nodes of one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
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
"""What names the pool of a node, the most exact first."""

CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")

BY_SIZE = (
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_buckets",
    "/sys/module/nf_conntrack/parameters/hashsize",
)
"""What the kernel and kube-proxy set by the memory and the CPUs that a node has."""

NODE_OWN = frozenset({"net.ipv4.ip_local_reserved_ports", "kernel.osrelease"}) | NODE_FILES
"""What every node has for itself, what its operator gives to it alone, and what is told twice."""

JUDGED_ELSEWHERE = re.compile(r"\.ip_forward$|\.forwarding$|\.bridge-nf-call-")
"""Sysctls whose right value is known, and held by checks of their own."""

MOST_NODES = 3
"""So many are named where they differ; of more the number is told."""


def pool_of(node: NodeObject) -> str:
    """The pool that the node is in, in words: `pool blue`, `the control plane`, `workers`."""
    labels = node.metadata.labels
    for label in POOL_LABELS:
        if labels.get(label):
            return f"pool {labels[label]}"
    return "the control plane" if any(label in labels for label in CONTROL_PLANE) else "workers"


def settings_of(node: Node) -> dict[str, str]:
    """What nodes of one pool have in common, by name; what was not seen is left out."""
    facts = facts_of(node.object, node.visit, node.document)
    told = {name: value for name, value in facts.items() if _is_common(name)}
    if variant := _variant(node):
        told["variant of iptables"] = variant
    return told


def _is_common(name: str) -> bool:
    own = name.startswith(COUNT) or name in (*BY_SIZE, *NODE_OWN)
    return not own and not JUDGED_ELSEWHERE.search(name)


def _variant(node: Node) -> str:
    """The variant that has Kubernetes' rules; nothing where none has, or it was not read.

    Where both have some, that is found by a check of its own.
    """
    try:
        rules = {"nft": node.iptables.rules, "legacy": node.iptables.legacy}
    except (FactMissingError, NotApplicable):
        return ""
    having = (name for name, by in rules.items() if any("KUBE-" in t for t in by.values()))
    return next(having, "")


@dataclass(frozen=True, slots=True)
class Drift:
    """Something in which the nodes of one pool differ."""

    pool: str
    what: str
    values: Mapping[str, tuple[str, ...]]
    """The nodes by what they have."""

    @property
    def most(self) -> str:
        """What most of them have; nothing where no value is that of more than half of them."""
        value, nodes = max(self.values.items(), key=lambda each: (len(each[1]), each[0]))
        return value if 2 * len(nodes) > sum(map(len, self.values.values())) else ""

    @property
    def found(self) -> str:
        """`wc-w1: 6.1.0; 12 nodes: 6.1.4`: the smallest group first."""
        groups = sorted(self.values.items(), key=lambda each: (len(each[1]), each))
        return "; ".join(f"{_named(nodes)}: {value}" for value, nodes in groups)


def drifts(
    nodes: Mapping[str, NodeObject], settings: Mapping[str, Mapping[str, str]]
) -> Iterator[Drift]:
    """What differs within each pool, among the nodes that tell."""
    pools: dict[str, list[str]] = defaultdict(list)
    for name in sorted(settings):
        if name in nodes:
            pools[pool_of(nodes[name])].append(name)
    for pool, members in sorted(pools.items()):
        for what in sorted({what for name in members for what in settings[name]}):
            values: dict[str, list[str]] = defaultdict(list)
            for name in members:
                if what in settings[name]:
                    values[settings[name][what]].append(name)
            if len(values) > 1:
                yield Drift(pool, what, {value: tuple(have) for value, have in values.items()})


def _named(nodes: tuple[str, ...]) -> str:
    return ", ".join(nodes) if len(nodes) <= MOST_NODES else f"{len(nodes):,} nodes"
