"""Recordings of a cluster with Calico, as they are and with one more change."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wirecheck.catalogue.registry import load
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.snapshot.folder import Snapshot

FOLDER = Path(__file__).parent / "recorded" / "calico"
WITH_TABLES = " with tables"
"""The end of the name of a recording with Calico's own nftables table."""

Document = dict[str, Any]


def recording(name: str, copy: Path) -> Path:
    """A recording; one with tables is made in the folder `copy`."""
    plain = name.removesuffix(WITH_TABLES)
    if plain == name:
        return FOLDER / name
    return changed(plain, copy, lambda node, document: add_tables(plain, node, document))


def changed(name: str, copy: Path, change: Callable[[str, Document], None]) -> Path:
    """A copy of a recording with a change to the document of each node."""
    shutil.copytree(FOLDER / name, copy, dirs_exist_ok=True)
    for file in (copy / "look-1" / "nodes").iterdir():
        document = json.loads(gzip.decompress(file.read_bytes()))
        change(file.name.removesuffix(".json.gz"), document)
        file.write_bytes(gzip.compress(json.dumps(document).encode(), 1))
    return copy


def add_tables(name: str, node: str, document: Document) -> None:
    """Add Calico's nftables table, as the program records tables of others."""
    file = FOLDER / name / "beside" / f"{node}.nft-table-ip-calico.json.gz"
    argv = ["nft", "-j", "list", "table", "ip", "calico"]
    output = gzip.decompress(file.read_bytes()).decode()
    document["commands"]["nft-table ip calico"] = {"argv": argv, "status": 0, "output": output}


def found(folder: Path, *checks: str) -> list[tuple[str, str, str]]:
    """(node, object, what was found) of each finding of some checks."""
    chosen = [each for each in load() if each.id in checks]
    assert len(chosen) == len(checks)
    return [
        (item.node, str(finding.object), finding.found)
        for item in evaluate(Snapshot.open(folder), chosen)
        for finding in item.findings
    ]
