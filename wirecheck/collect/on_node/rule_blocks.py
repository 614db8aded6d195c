"""Rules in blocks that nodes with the same rules have in common, so that each is sent once."""

import hashlib
from typing import Any, Dict, Iterable, List, Optional

from wirecheck.collect.on_node import iptables_blocks, nft_blocks

DIGITS = 16
"""Of a digest, by which the plan names blocks that need not be sent."""

JsonObject = Dict[str, Any]


def cut(records: Iterable[JsonObject], plan: JsonObject) -> Dict[str, str]:
    """Name large outputs by their blocks; returns those blocks that have to be sent."""
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
    """The blocks of a tool's output; None where it is none of those that can be cut."""
    if text.startswith("{"):
        return nft_blocks.blocks_of(text)
    return iptables_blocks.blocks_of(text)


def digest_of(block: str) -> str:
    """What a block is named by."""
    return hashlib.sha256(block.encode("utf-8")).hexdigest()
