from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import SnapshotIndex
from wirecheck.snapshot.netns import Link, Namespace
from wirecheck.snapshot.node_document import Host, NodeDocument
from wirecheck.snapshot.schema import FILES, SCHEMA, encoded, schema

RECORDED = Path(__file__).parent.parent / "recorded"


def validator(kind: str) -> jsonschema.Draft202012Validator:
    found = {**schema(), "$ref": f"#/$defs/{kind}"}
    del found["anyOf"]
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def content(path: Path) -> Any:
    raw = path.read_bytes()
    return json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)


def test_the_schema_that_is_shipped_is_fresh() -> None:
    assert SCHEMA.read_bytes() == encoded(), "run python -m wirecheck.snapshot.schema"


def test_every_file_of_the_folder_has_a_definition() -> None:
    names = {kind.__name__ for kind in FILES.values()}
    assert names <= schema()["$defs"].keys()


@pytest.mark.parametrize(
    ("pattern", "kind"),
    [
        ("api.json*", ApiObjects),
        ("snapshot.json", SnapshotIndex),
        ("look-*/nodes/*.json*", NodeDocument),
    ],
    ids=str,
)
def test_recorded_files_are_valid_and_hold_nothing_but_known_fields(
    pattern: str, kind: type[msgspec.Struct]
) -> None:
    check = validator(kind.__name__)
    paths = sorted(RECORDED.glob(f"**/{pattern}"))
    assert paths
    for path in paths:
        found = content(path)
        check.validate(found)
        if kind is ApiObjects:
            # The others forbid unknown fields; this one drops them, so none may be there.
            assert msgspec.to_builtins(msgspec.convert(found, kind)) == found, path


def test_a_whole_document_is_valid() -> None:
    namespace = Namespace(1, links=[Link(1, "lo", ["UP"], mtu=65536)])
    document = NodeDocument(1, "0", 1.0, 2.0, Host("w1"), [namespace], files={"/proc/x": "1"})
    validator("NodeDocument").validate(msgspec.to_builtins(document))


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("SnapshotIndex", {"format": 1}),
        ("SnapshotIndex", {"format": 1, "wirecheck": "0", "time": 0, "surprise": 1}),
        ("NodeDocument", {"format": 1, "program": "0", "started": 0, "finished": 0}),
        ("ApiObjects", {"nodes": [{"metadata": {}}]}),
    ],
)
def test_what_is_not_a_snapshot_is_not_valid(kind: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator(kind).validate(wrong)
