"""How findings refer to a node."""

from __future__ import annotations

from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.objects.node import NodeObject


def node_ref(node: NodeObject) -> Ref:
    """The reference to a node of the API."""
    return Ref("Node", node.metadata.name, uid=node.metadata.uid)
