"""Documents as the node program sends them: large outputs in blocks, each block once."""

from __future__ import annotations

from typing import Any

import msgspec

from wirecheck.collect.on_node.rule_blocks import cut
from wirecheck.collect.plan.visit_plan import BlockPlan
from wirecheck.snapshot.folder import SnapshotWriter
from wirecheck.snapshot.node_document import NodeDocument


def as_sent(document: NodeDocument, writer: SnapshotWriter) -> bytes:
    """The document of a node whose plan names the blocks that are stored already."""
    made: dict[str, Any] = msgspec.to_builtins(document)
    plan = msgspec.to_builtins(BlockPlan.without(writer.known_blocks))
    made["blocks"] = cut(made["commands"].values(), plan)
    return msgspec.json.encode(made)
