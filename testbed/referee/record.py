"""Sights on disk: what a seed found stays a test."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec

from testbed.referee.judging import Sight
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.node_document import NodeDocument


def write(sight: Sight, path: Path) -> None:
    """Write the API's objects and the node's document, which name no credential."""
    record = {
        "api": msgspec.to_builtins(sight.api),
        "document": msgspec.to_builtins(sight.document),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    # Without a time: the same sight gives the same file.
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def read(path: Path) -> Sight:
    """A sight that `write` has written."""
    record: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return Sight(
        msgspec.convert(record["api"], ApiObjects),
        msgspec.convert(record["document"], NodeDocument),
    )
