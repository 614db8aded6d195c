"""Cuts rules into blocks that nodes with the same rules share, so that each is sent once."""

import hashlib
from typing import Any, Dict, Iterable, List, Optional

from wirecheck.collect.on_node import iptables_blocks, nft_blocks

DIGITS = 16
"""The digits of a digest by which the plan names blocks that need not be sent."""

JsonObject = Dict[str, Any]


def cut(records: Iterable[JsonObject], plan: JsonObject) -> Dict[str, str]:
    """Replace large outputs by the names of their blocks; return the blocks to be sent."""
    known = frozenset(plan["known"])
    sent: Dict[str, str] = {}
    for record in records:
        text = record.get("output", "")
        blocks = blocks_of(text) if text and len(text) >= plan["least"] else None
        if not blocks:
            continue
        named = [(digest_of(each), each) for each in blocks]
        record["blocks"] = [digest for digest, _ in named]
        del record["output"]
        sent.update((digest, each) for digest, each in named if digest[:DIGITS] not in known)
    return sent


def blocks_of(text: str) -> Optional[List[str]]:
    """The blocks of a tool's output; None if it cannot be cut."""
    if text.startswith("{"):
        return nft_blocks.blocks_of(text)
    return iptables_blocks.blocks_of(text)


def digest_of(block: str) -> str:
    """The name of a block: the digest of its text."""
    return hashlib.sha256(block.encode("utf-8")).hexdigest()
