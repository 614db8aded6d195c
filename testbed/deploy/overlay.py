"""The overlays of deploy/ with what a test cluster needs besides: its image, and a volume."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from testbed.cluster import kubectl
from testbed.deploy.image import PROJECT
from testbed.layout import WORKERS
from testbed.nodes import output
from testbed.state import State, write_atomically

NAMESPACE = "wirecheck"
HELPERS = "wirecheck-helpers"
NODE = WORKERS[0]
"""Where the volume is; pods that mount it are placed there."""
FOLDER = "/var/lib/wirecheck-results"
USER = 65532
SHARES = 2
WITH_PODS = ("pods-for-the-run", "preprod")
"""Overlays that make pods: the image is named in the first one's inventory."""

Document = dict[str, Any]


@contextmanager
def applied(here: State, name: str, image: str) -> Iterator[None]:
    """The overlay is in the cluster, and a new volume; nothing of it is afterwards."""
    folder = _render(here, name, image)
    with _empty_folder():
        try:
            kubectl("apply", "--kustomize", str(folder), timeout=120)
            yield
        finally:
            kubectl("delete", "--kustomize", str(folder), "--ignore-not-found", timeout=180)


@contextmanager
def volume(here: State) -> Iterator[None]:
    """The volume is in the cluster, new and empty, for objects that are not made by kustomize."""
    file = here.root / "deploy/volume.yaml"
    write_atomically(file, yaml.safe_dump(_VOLUME))
    with _empty_folder():
        try:
            kubectl("apply", "--filename", str(file))
            yield
        finally:
            kubectl("delete", "--filename", str(file), "--ignore-not-found", timeout=180)


@contextmanager
def _empty_folder() -> Iterator[None]:
    """The volume's folder is on its node, and is not there afterwards."""
    output(NODE, ["rm", "-rf", FOLDER])
    output(NODE, ["mkdir", "-m", "0770", FOLDER])
    output(NODE, ["chown", f"{USER}:{USER}", FOLDER])
    try:
        yield
    finally:
        output(NODE, ["rm", "-rf", FOLDER])


def _render(here: State, name: str, image: str) -> Path:
    folder = here.root / "deploy" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    overlay = PROJECT / "deploy/overlays" / name
    repository, _, tag = image.rpartition(":")
    kustomization: Document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(overlay, folder), "volume.yaml"],
        "images": [{"name": "wirecheck", "newName": repository, "newTag": tag}],
        "patches": [_patch("PersistentVolumeClaim", _CLAIM)],
    }
    if name == "large-cluster":
        kustomization["patches"].append(_patch("Job", _FEW_SHARES))
    if name in WITH_PODS:
        content = yaml.safe_load((overlay.parent / WITH_PODS[0] / "inventory.yaml").read_text())
        content["agent"]["image"] = image
        write_atomically(folder / "inventory.yaml", yaml.safe_dump(content))
        kustomization["configMapGenerator"] = [
            {
                "name": "wirecheck-inventory",
                "namespace": NAMESPACE,
                "behavior": "replace",
                "files": ["inventory.yaml"],
            }
        ]
    write_atomically(folder / "volume.yaml", yaml.safe_dump(_VOLUME))
    write_atomically(folder / "kustomization.yaml", yaml.safe_dump(kustomization))
    return folder


def _patch(kind: str, operations: list[Document]) -> Document:
    return {"target": {"kind": kind}, "patch": yaml.safe_dump(operations)}


_CLAIM: list[Document] = [
    {"op": "add", "path": "/spec/storageClassName", "value": ""},
    {"op": "add", "path": "/spec/volumeName", "value": "wirecheck-results"},
]
_FEW_SHARES: list[Document] = [
    {"op": "replace", "path": "/spec/completions", "value": SHARES},
    {"op": "replace", "path": "/spec/parallelism", "value": SHARES},
    {
        "op": "test",
        "path": "/spec/template/spec/containers/0/env/1/name",
        "value": "SHARES",
    },
    {
        "op": "replace",
        "path": "/spec/template/spec/containers/0/env/1/value",
        "value": str(SHARES),
    },
]
_VOLUME: Document = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "wirecheck-results"},
    "spec": {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "hostPath": {"path": FOLDER, "type": "Directory"},
        "nodeAffinity": {
            "required": {
                "nodeSelectorTerms": [
                    {
                        "matchExpressions": [
                            {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
                        ]
                    }
                ]
            }
        },
    },
}
