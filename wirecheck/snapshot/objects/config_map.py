"""The fields of a ConfigMap that may enter a snapshot."""

from __future__ import annotations

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata


class ConfigMapObject(ApiStruct, frozen=True):
    """Only the named configuration keys of the named ConfigMaps, see `collect/api/resources.py`."""

    metadata: Metadata
    data: dict[str, str] = {}
