"""Documents that a node made to fill the memory or the disk of whoever reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from tests.checks import small_cluster
from wirecheck.collect import document_frame, visit
from wirecheck.snapshot import blocks, values
from wirecheck.snapshot.blocks import TextStore, digest_of, restored
from wirecheck.snapshot.folder import LARGEST_DOCUMENT, Snapshot, SnapshotError, SnapshotWriter
from wirecheck.snapshot.index import (
    FORMAT,
    RoundRecord,
    SnapshotIndex,
    VisitRecord,
    VisitStatus,
)
from wirecheck.snapshot.node_document import Command, NodeDocument
from wirecheck.snapshot.part import FEW, SnapshotPart
from wirecheck.snapshot.values import MOST_VALUES, has_too_many_values

SMALL = msgspec.to_builtins(small_cluster.document())


def parts_of(kind: type[SnapshotPart], seen: set[type]) -> None:
    """The type and all types of its fields."""
    if kind not in seen:
        seen.add(kind)
        for hint in get_type_hints(kind).values():
            stack = [hint]
            while stack:
                each = stack.pop()
                stack += get_args(each)
                if isinstance(each, type) and issubclass(each, SnapshotPart):
                    parts_of(each, seen)


PARTS: set[type] = set()
parts_of(NodeDocument, PARTS)


@pytest.mark.parametrize("kind", sorted(PARTS, key=lambda each: each.__name__))
def test_every_text_list_and_map_of_a_document_has_a_limit(kind: type[SnapshotPart]) -> None:
    (_,), definitions = msgspec.json.schema_components([kind], ref_template="{name}")

    def unlimited(schema: Any) -> list[Any]:
        limit = {"string": "maxLength", "array": "maxItems", "object": "maxProperties"}
        found = []
        if isinstance(schema, dict):
            wanted = limit.get(str(schema.get("type")))
            if wanted and wanted not in schema and "properties" not in schema:
                found.append(schema)
            inner = schema.get("properties", schema)
            found += [
                each
                for key, value in inner.items()
                if key != "default"
                for each in unlimited(value)
            ]
        if isinstance(schema, list):
            found += [each for value in schema for each in unlimited(value)]
        return found

    assert unlimited(definitions[kind.__name__]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"problems": ["x" * 5000]},
        {"problems": ["x"] * 200_000},
        {"seconds": {str(number): 1.0 for number in range(FEW.max_length + 1)}},  # type: ignore[operator]
        {"commands": {str(number): {"argv": []} for number in range(2000)}},
        {"kubelet": {"flags": {"x" * 5000: "a"}}},
        {"cni": {"configurations": [{"file": "a", "plugins": ["b"] * 2000}]}},
    ],
)
def test_a_document_beyond_a_limit_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="of length <="):
        visit.DECODER.decode(json.dumps({**SMALL, **change}))


def test_what_nests_for_ever_is_refused() -> None:
    deep = '{"file": "a", "delegates": [' * 5000 + "]}" * 5000
    raw = json.dumps({**SMALL, "cni": None}).replace(
        '"cni": null', f'"cni": {{"delegated": [{deep}]}}'
    )
    with pytest.raises((msgspec.ValidationError, RecursionError)):
        visit.DECODER.decode(raw)


def test_a_frame_holds_less_than_a_snapshot_accepts() -> None:
    assert document_frame.MOST_BYTES < LARGEST_DOCUMENT


def test_values_are_counted_outside_of_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_too_many_values(b"[" + b"1," * (MOST_VALUES // 2) + b"1]")
    monkeypatch.setattr(values, "LEAST_BYTES", 0)
    monkeypatch.setattr(values, "MOST_VALUES", 5)

    assert not has_too_many_values(rb'{"a": "[{,,,\",,,\\", "b": [1, 2]}')
    assert has_too_many_values(b'{"a": [1, 2, 3, 4, 5]}')
    assert has_too_many_values(b'{"a": "' + rb"\\" + b'", "b": [[], [], []]}')


def test_a_document_of_too_many_values_is_that_nodes_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    snapshot = written(tmp_path, json.dumps(SMALL).encode())
    monkeypatch.setattr(values, "LEAST_BYTES", 0)
    monkeypatch.setattr(values, "MOST_VALUES", 5)

    with pytest.raises(SnapshotError, match="more values than any node"):
        snapshot.document("n1")


def written(folder: Path, raw: bytes) -> Snapshot:
    writer = SnapshotWriter(folder, SnapshotIndex(format=FORMAT, wirecheck="1", time=1.8e9))
    writer.write_document(1, "n1", raw)
    writer.finish_round(RoundRecord(1.0, 2.0, {"n1": VisitRecord(VisitStatus.SEEN)}))
    return Snapshot.open(folder)


def with_blocks(named: list[str], sent: dict[str, str], commands: int = 1) -> bytes:
    listed = {
        f"c{number}": {"argv": ["x"], "status": 0, "blocks": named} for number in range(commands)
    }
    return json.dumps({**SMALL, "commands": listed, "blocks": sent}).encode()


def test_only_blocks_that_a_command_names_are_stored(tmp_path: Path) -> None:
    texts = {digest_of(each): each for each in ("wanted", "unwanted")}
    snapshot = written(tmp_path, with_blocks([digest_of("wanted")], texts))

    assert [each.name for each in (tmp_path / "blocks").iterdir()] == [f"{digest_of('wanted')}.gz"]
    assert snapshot.document("n1").commands["c0"].output == "wanted"


def test_a_block_that_is_named_often_counts_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MOST_CHARACTERS", 25)
    text = "x" * 10
    record = Command(["x"], status=0, blocks=[digest_of(text)])
    document = msgspec.structs.replace(
        small_cluster.document(),
        commands={"a": record, "b": record, "c": record},
        blocks={digest_of(text): text},
    )

    found = restored(document, lambda _: "", TextStore()).commands

    assert [each.output for each in found.values()] == [text, text, ""]
    assert "exceed" in found["c"].problem


def test_texts_are_kept_for_other_nodes_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MOST_CHARACTERS", 25)
    store = TextStore()
    for letter in "abcd":
        store.joined([store.block_of(letter * 10)])

    assert sum(map(len, store._texts.values())) <= 25 + 10
