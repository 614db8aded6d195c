"""The JSON Schema of a snapshot's files, generated from their types.

`python -m wirecheck.snapshot.schema` writes `schema.json` again after the types changed.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import msgspec

from wirecheck.snapshot import index
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import SnapshotIndex
from wirecheck.snapshot.node_document import NodeDocument

FILES = {
    "snapshot.json": SnapshotIndex,
    "look-N/api.json.gz": ApiObjects,
    "look-N/nodes/NAME.json.gz": NodeDocument,
}
"""The type of each file of the folder."""
SCHEMA = Path(__file__).with_name("schema.json")


def schema() -> dict[str, Any]:
    """The schema of all files: one alternative per file, with the file's name as its title."""
    kinds, definitions = msgspec.json.schema_components(
        FILES.values(), ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"wirecheck snapshot, format {index.FORMAT}",
        "anyOf": [{"title": name, **kind} for name, kind in zip(FILES, kinds, strict=True)],
        "$defs": {name: _described(kind) for name, kind in definitions.items()},
    }


def _described(kind: dict[str, Any]) -> dict[str, Any]:
    """Docstrings without their indentation, which Python 3.13 removes and earlier ones keep."""
    text = kind.get("description")
    return {**kind, "description": inspect.cleandoc(text)} if text else kind


def encoded() -> bytes:
    """The content of `schema.json`."""
    raw = msgspec.json.encode(schema(), order="deterministic")
    return msgspec.json.format(raw, indent=2) + b"\n"


if __name__ == "__main__":
    SCHEMA.write_bytes(encoded())
