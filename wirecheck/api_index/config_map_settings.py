"""Settings of programs as ConfigMaps of the API have them."""

from __future__ import annotations

from wirecheck.snapshot.api_objects import ApiObjects


def is_set(api: ApiObjects, key: str, value: str) -> bool:
    """Whether a ConfigMap that was read has the key with this value."""
    return any(each.data.get(key) == value for each in api.config_maps)
