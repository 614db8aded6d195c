"""Recordings of a cluster with Calico, as they are and with one more change."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

from tests.changed_recordings import Document, found
from tests.changed_recordings import changed as changed_recording

__all__ = ["FOLDER", "WITH_TABLES", "Document", "add_tables", "changed", "found", "recording"]

FOLDER = Path(__file__).parent / "recorded" / "calico"
WITH_TABLES = " with tables"
"""The end of the name of a recording with Calico's own nftables table."""


def recording(name: str, copy: Path) -> Path:
    """A recording; one with tables is made in the folder `copy`."""
    plain = name.removesuffix(WITH_TABLES)
    if plain == name:
        return FOLDER / name
    return changed(plain, copy, lambda node, document: add_tables(plain, node, document))


def changed(name: str, copy: Path, change: Callable[[str, Document], None]) -> Path:
    """A copy of a recording with a change to the document of each node."""
    return changed_recording(FOLDER / name, copy, change)


def add_tables(name: str, node: str, document: Document) -> None:
    """Add Calico's nftables table, as the program records tables of others."""
    file = FOLDER / name / "beside" / f"{node}.nft-table-ip-calico.json.gz"
    argv = ["nft", "-j", "list", "table", "ip", "calico"]
    output = gzip.decompress(file.read_bytes()).decode()
    document["commands"]["nft-table ip calico"] = {"argv": argv, "status": 0, "output": output}
