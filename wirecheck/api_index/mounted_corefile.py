"""The Corefile that a DNS replica really serves: from the ConfigMaps that its pod mounts.

Installers name the ConfigMap as they like, such as `rke2-coredns-rke2-coredns`, and a Corefile
imports files of further ones, such as `coredns-custom`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wirecheck.parse.corefile import cluster_zones, expansion, unknown_zones
from wirecheck.snapshot.objects.pod import ConfigMapFiles, PodObject, Volume, VolumeMount

MOST_CONFIG_MAPS = 8
"""How many ConfigMaps of a replica are read: a Corefile, and a few that it imports."""

USUAL_PATH = "/etc/coredns/Corefile"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/"
"""Every pod mounts the API server's certificate there, from ConfigMap kube-root-ca.crt."""


@dataclass(frozen=True, slots=True)
class MountedConfigMap:
    """A ConfigMap that a container mounts."""

    name: str
    files: ConfigMapFiles
    mount: VolumeMount

    def paths(self, data: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """(path, text) of each file that the container sees."""
        items = self.files.items
        files = (
            {key: key for key in data} if items is None else {each.path: each.key for each in items}
        )
        within = self.mount.sub_path.strip("/")
        for path, key in files.items():
            if key in data and (not within or path == within or path.startswith(f"{within}/")):
                inner = path[len(within) :].lstrip("/") if within else path
                yield posixpath.normpath(posixpath.join(self.mount.mount_path, inner)), data[key]


def mounted_config_maps(pod: PodObject) -> tuple[MountedConfigMap, ...]:
    """The ConfigMaps that the pod's containers mount, at most MOST_CONFIG_MAPS."""
    sources = {each.name: list(_sources(each)) for each in pod.spec.volumes}
    found: list[MountedConfigMap] = []
    names: set[str] = set()
    for container in pod.spec.containers:
        for mount in container.volume_mounts:
            if mount.mount_path.startswith(SERVICE_ACCOUNT):
                continue
            for files in sources.get(mount.name, ()):
                if files.name in names or len(names) < MOST_CONFIG_MAPS:
                    names.add(files.name)
                    found.append(MountedConfigMap(files.name, files, mount))
    return tuple(found)


def _sources(volume: Volume) -> Iterator[ConfigMapFiles]:
    projected = volume.projected.sources if volume.projected else None
    for each in (volume.config_map, *(source.config_map for source in projected or ())):
        if each is not None and each.name:
            yield each


def corefile(
    mounted: Sequence[MountedConfigMap], texts: Mapping[str, Mapping[str, str]]
) -> tuple[str, str]:
    """(name of the ConfigMap, the Corefile with its imports in their places).

    `texts` has the data of the ConfigMaps by name. Both are empty if no file is a Corefile.
    """
    owners: dict[str, str] = {}
    files: dict[str, str] = {}
    for each in mounted:
        for path, text in each.paths(texts.get(each.name, {})):
            owners.setdefault(path, each.name)
            files.setdefault(path, text)
    path = min(filter(lambda path: _is_corefile(path, files[path]), files), key=_order, default="")
    if not path:
        return "", ""
    others = {name: text for name, text in files.items() if name != path}
    return owners[path], expansion(files[path], others, path).text


def _is_corefile(path: str, text: str) -> bool:
    named = posixpath.basename(path).lower() == "corefile"
    return named or bool(cluster_zones(text) or unknown_zones(text))


def _order(path: str) -> tuple[bool, bool, str]:
    return (path != USUAL_PATH, posixpath.basename(path).lower() != "corefile", path)
