"""The base class of the types of a snapshot's own files."""

from __future__ import annotations

from msgspec import Struct


class SnapshotPart(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of a file. A field that the type lacks makes the file invalid."""
