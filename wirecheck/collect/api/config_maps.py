"""Reads the few ConfigMaps that checks need: kube-proxy's, the CNI plugin's, and the Corefile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from wirecheck.api_index.cluster_dns import cluster_dns
from wirecheck.api_index.mounted_corefile import corefile, mounted_config_maps
from wirecheck.collect.api.resources import (
    CONFIG_MAPS,
    COREFILE,
    MASQUERADING,
    USUAL_COREFILE,
    projected,
    rule,
    without_free_text,
    without_secrets,
)
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.config_map import ConfigMapObject
from wirecheck.snapshot.objects.pod import PodObject

ReadOne = Callable[[str, str, Any, str], Any]
"""Reads one object, given its description, path, type and RBAC rule; None if that fails."""


def read_config_maps(api: ApiObjects, read_one: ReadOne) -> list[ConfigMapObject]:
    """The ConfigMaps, each with its one key. The Corefile is the one that a DNS replica mounts.

    Without a replica that mounts any, it is that of the usual name.
    """
    replicas = cluster_dns(api).replicas
    replica = next((each for each in replicas if mounted_config_maps(each)), None)
    usual = [name for name in CONFIG_MAPS if replica is None or name != USUAL_COREFILE]
    usual += [name for name in MASQUERADING if _runs(api, name)]
    found = [_read(read_one, "kube-system", name) for name in usual]
    kept = [projected(each) for each in found if each is not None]
    return kept if replica is None else [*kept, *_mounted_corefile(read_one, replica)]


def _runs(api: ApiObjects, name: str) -> bool:
    return any(
        pod.metadata.name.startswith(f"{name}-")
        for pod in api.pods
        if pod.metadata.namespace == "kube-system"
    )


def _mounted_corefile(read_one: ReadOne, replica: PodObject) -> list[ConfigMapObject]:
    """What the replica mounts as its Corefile, with the files that this imports in their places."""
    namespace, mounted = replica.metadata.namespace, mounted_config_maps(replica)
    names = dict.fromkeys(each.name for each in mounted)
    read = {name: _read(read_one, namespace, name) for name in names}
    found = {name: each for name, each in read.items() if each is not None}
    name, text = corefile(mounted, {each: found[each].data for each in found})
    if not name:
        return []
    metadata = found[name].metadata
    without_free_text(metadata)
    return [ConfigMapObject(metadata, {COREFILE: without_secrets(text)})]


def _read(read_one: ReadOne, namespace: str, name: str) -> ConfigMapObject | None:
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/configmaps/{quote(name, safe='')}"
    found: ConfigMapObject | None = read_one(
        f"ConfigMap {namespace}/{name}", path, ConfigMapObject, rule("", "configmaps", name)
    )
    return found
