"""Where a text is cut into blocks, so that other nodes cut the same text at the same places."""

import zlib

NAMES = 128
"""In a block, about: so many that a node's blocks are few, and so few that a change is small."""


def begins_block(name: str) -> bool:
    """Whether a chain or set begins one: by its name, whatever others there are."""
    return zlib.crc32(name.encode("utf-8")) % NAMES == 0
