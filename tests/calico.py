"""Recordings of a cluster with Calico, as they are and with one more change."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.changed_recordings import Document, found
from tests.changed_recordings import changed as changed_recording
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import Snapshot

__all__ = [
    "FOLDER",
    "WITH_TABLES",
    "Document",
    "add_tables",
    "changed",
    "found",
    "objects_beside",
    "recording",
    "with_objects",
    "with_tunnels",
]

FOLDER = Path(__file__).parent / "recorded" / "calico"
WITH_TABLES = " with tables"
"""The end of the name of a recording with Calico's nftables table or ipsets, and its objects."""
TUNNELS = {"tb-cp": "10.244.220.0", "tb-w1": "10.244.140.128", "tb-w2": "10.244.85.128"}
POLICIES = "healthy-iptables/beside/network-policies.json.gz"
"""The same in all recordings."""
KINDS = {
    "IPPool": "ipPools",
    "IPAMBlock": "ipamBlocks",
    "BlockAffinity": "blockAffinities",
    "FelixConfiguration": "felixConfigurations",
}
"""The fields of the API's objects that have each kind."""


def recording(name: str, copy: Path) -> Path:
    """A recording; one with tables is made in the folder `copy`."""
    plain = name.removesuffix(WITH_TABLES)
    if plain == name:
        return FOLDER / name
    folder = changed(plain, copy, lambda node, document: add_tables(plain, node, document))
    return with_tunnels(with_objects(folder, {**objects_beside(plain), **policies()}))


def changed(name: str, copy: Path, change: Callable[[str, Document], None]) -> Path:
    """A copy of a recording with a change to the document of each node."""
    return changed_recording(FOLDER / name, copy, change)


def add_tables(name: str, node: str, document: Document) -> None:
    """Add Calico's nftables table or its ipsets, as the program records them."""
    beside = FOLDER / name / "beside"
    argv = ["nft", "-j", "list", "table", "ip", "calico"]
    for id_, words, file in (
        ("nft-table ip calico", argv, beside / f"{node}.nft-table-ip-calico.json.gz"),
        ("ipset-save", ["ipset", "save"], beside / f"{node}.ipset-save.txt.gz"),
    ):
        if file.exists():
            output = gzip.decompress(file.read_bytes()).decode()
            document["commands"][id_] = {"argv": words, "status": 0, "output": output}


def objects_beside(name: str) -> Document:
    """Calico's objects of a recording, as the API has them, by the field that keeps them."""
    file = FOLDER / name / "beside" / "calico-objects.json.gz"
    if not file.exists():
        return {}
    items = json.loads(gzip.decompress(file.read_bytes()))["items"]
    return {
        field: [each for each in items if each["kind"] == kind] for kind, field in KINDS.items()
    }


def policies() -> Document:
    """The NetworkPolicies of all recordings with their rules; there are none of other kinds."""
    found = json.loads(gzip.decompress((FOLDER / POLICIES).read_bytes()))["items"]
    kinds = {"Calico NetworkPolicy": "read"}
    return {"networkPolicies": found, "policyRulesRead": True, "policyKinds": kinds}


def with_tunnels(folder: Path) -> Path:
    """The snapshot with the annotations of tunnels, which the program of that time did not keep."""
    nodes = msgspec.to_builtins(Snapshot.open(folder).api(1).nodes)
    for each in nodes:
        tunnel = TUNNELS[each["metadata"]["name"]]
        annotations = each["metadata"].setdefault("annotations", {})
        annotations["projectcalico.org/IPv4VXLANTunnelAddr"] = tunnel
    return with_objects(folder, {"nodes": nodes})


def with_objects(folder: Path, fields: Document) -> Path:
    """The snapshot with these fields of the API's objects replaced, where it is."""
    file = folder / "look-1" / "api.json.gz"
    objects = json.loads(gzip.decompress(file.read_bytes()))
    plain = json.loads(msgspec.json.encode(msgspec.convert(fields, ApiObjects)))
    empty: Document = {key: [] for key in fields}  # encoding leaves empty lists out
    text = json.dumps({**objects, **empty, **plain})
    file.write_bytes(gzip.compress(text.encode(), 1))
    return folder
