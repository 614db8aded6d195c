"""The base class of the types of a snapshot's own files, and the limits of what they hold.

A node or a pod may send anything. The limits are several times what the largest node has. The
node program has smaller limits of its own, so that nothing on a node makes its document invalid.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Word = Annotated[str, Meta(max_length=4_096)]
"""A name, an address, a path, a sentence."""
Text = Annotated[str, Meta(max_length=1 << 20)]
"""A small file, or a few lines of one."""
Output = Annotated[str, Meta(max_length=128 << 20)]
"""What a tool printed."""

FEW = Meta(max_length=1_000)
MANY = Meta(max_length=100_000)
VERY_MANY = Meta(max_length=1_000_000)
"""The most members of a list or map."""


class SnapshotPart(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of a file. A field that the type lacks makes the file invalid."""
