"""The nodes of a round as paths see them: read when a packet comes, and kept for the next one."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.model.node import Node
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.paths.hooks import Hooks
from wirecheck.paths.place import Machine, World

MOST_NODES = 4
"""Nodes that are kept in memory: those of both ends, and backends of a Service."""


def world_of(cluster: ClusterSeen, node_of: Callable[[str], Node]) -> World:
    """The cluster of one round; `node_of` reads one of its nodes."""

    @lru_cache(maxsize=MOST_NODES)
    def visited(name: str) -> Machine | str:
        if name not in cluster.nodes:
            return f"node {name} is not in the API"
        node = node_of(name)
        try:
            if node.seen.host.record.error:
                return node.seen.host.record.error
        except (FactMissingError, NotApplicable) as error:
            return f"node {name} was not seen: {error}"
        return Machine(node.seen, node.namespaces, Hooks(node.seen, node.iptables, node.firewall))

    return World(cluster, visited)
