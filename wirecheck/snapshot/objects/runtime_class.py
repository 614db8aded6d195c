"""The fields of a RuntimeClass that may enter a snapshot."""

from __future__ import annotations

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata


class RuntimeClassObject(ApiStruct, frozen=True):
    metadata: Metadata
    handler: str = ""
