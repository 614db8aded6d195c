"""What the types of a snapshot's own files have in common."""

from __future__ import annotations

from msgspec import Struct


class SnapshotPart(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of a file; a field that is not named here makes the file invalid."""
