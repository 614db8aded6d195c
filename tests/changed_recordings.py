"""Recordings with one more change, and what checks find there."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wirecheck.catalogue.registry import load
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.results.records import ItemResult
from wirecheck.snapshot.folder import Snapshot

Document = dict[str, Any]


def changed(recording: Path, copy: Path, change: Callable[[str, Document], None]) -> Path:
    """A copy of a recording with a change to the document of each node."""
    shutil.copytree(recording, copy, dirs_exist_ok=True)
    for file in (copy / "look-1" / "nodes").iterdir():
        document = json.loads(gzip.decompress(file.read_bytes()))
        change(file.name.removesuffix(".json.gz"), document)
        file.write_bytes(gzip.compress(json.dumps(document).encode(), 1))
    return copy


def items(folder: Path, *checks: str) -> list[ItemResult]:
    """The results of some checks."""
    chosen = [each for each in load() if each.id in checks]
    assert len(chosen) == len(checks)
    return list(evaluate(Snapshot.open(folder), chosen))


def found(folder: Path, *checks: str) -> list[tuple[str, str, str]]:
    """(node, object, what was found) of each finding of some checks."""
    return [
        (item.node, str(finding.object), finding.found)
        for item in items(folder, *checks)
        for finding in item.findings
    ]
