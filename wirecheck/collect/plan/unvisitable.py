"""Nodes that cannot be visited, whatever the inventory says."""

from __future__ import annotations

from wirecheck.api_index.node_kinds import kind_of
from wirecheck.snapshot.objects.node import NodeObject


def why_unvisitable(node: NodeObject) -> str:
    """Why the node cannot be visited; empty if it can."""
    kind = kind_of(node)
    if kind.can_be_visited:
        return ""
    return f"{node.metadata.name} {kind}: only its API objects are checked."
