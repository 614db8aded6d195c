"""The nodes of a round as paths see them: read when a packet comes, and kept for the next one."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.node.firewall import Firewall
from wirecheck.node.iptables import Iptables
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.seen import NodeSeen
from wirecheck.paths.hooks import Hooks
from wirecheck.paths.place import Machine, World

MOST_NODES = 4
"""Nodes that are kept in memory: those of both ends, and backends of a Service."""


class PathNode(Protocol):
    """The parts of a node that decide about packets."""

    @property
    def seen(self) -> NodeSeen: ...

    @property
    def namespaces(self) -> PodNamespaces: ...

    @property
    def iptables(self) -> Iptables: ...

    @property
    def firewall(self) -> Firewall: ...


class PathNodes:
    """The world of one round; `node_of` reads one of its nodes."""

    def __init__(self, cluster: ClusterSeen, node_of: Callable[[str], PathNode]) -> None:
        self._cluster = cluster
        self._node_of = node_of
        self._visited = lru_cache(maxsize=MOST_NODES)(self._visit)
        self._made: list[weakref.ref[Machine]] = []
        self.world = World(cluster, self._visited)

    def forget(self) -> None:
        """Free all nodes, at once: their documents are large."""
        self._visited.cache_clear()
        for each in self._made:
            if machine := each():
                machine.release()
        self._made.clear()

    def _visit(self, name: str) -> Machine | str:
        if name not in self._cluster.nodes:
            return f"node {name} is not in the API"
        node = self._node_of(name)
        try:
            if node.seen.host.record.error:
                return node.seen.host.record.error
        except (FactMissingError, NotApplicable) as error:
            return f"node {name} was not seen: {error}"
        hooks = Hooks(node.seen, node.iptables, node.firewall)
        machine = Machine(node.seen, node.namespaces, hooks)
        self._made.append(weakref.ref(machine))
        return machine


def path_nodes(cluster: ClusterSeen) -> PathNodes:
    """The world of the round that a run evaluates. Raises NotApplicable outside of a run."""
    return cluster.kept(PathNodes, _unknown)


def _unknown() -> PathNodes:
    raise NotApplicable("paths are followed over several nodes, and only one was read")
