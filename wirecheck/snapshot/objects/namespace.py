"""The fields of a Namespace that may enter a snapshot."""

from __future__ import annotations

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata


class NamespaceObject(ApiStruct, frozen=True):
    metadata: Metadata
