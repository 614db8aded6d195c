from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wirecheck.snapshot import folder
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import Snapshot, SnapshotError, SnapshotWriter
from wirecheck.snapshot.index import (
    FORMAT,
    RoundRecord,
    SnapshotIndex,
    VisitRecord,
    VisitStatus,
    Waiver,
)
from wirecheck.snapshot.node_document import Host, NodeDocument
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.node import NodeObject

API = ApiObjects(nodes=[NodeObject(metadata=Metadata(name="w1"))], resource_versions={"nodes": "7"})
DOCUMENT = NodeDocument(1, "0.1.0", 1.0, 2.0, Host("w1"))
INDEX = SnapshotIndex(
    FORMAT, "0.1.0", 1.0, thresholds={"a": 1.5}, waivers=[Waiver("a", "b", "c", "d", "2027-01-01")]
)
SEEN = VisitRecord(VisitStatus.SEEN, via="docker://w1")
LOOK = RoundRecord(
    1.0, 2.0, visits={"w1": SEEN, "w2": VisitRecord(VisitStatus.UNREACHABLE, reason="no")}
)


def written(path: Path, document: bytes = msgspec.json.encode(DOCUMENT)) -> Path:
    writer = SnapshotWriter(path, INDEX)
    writer.write_api(1, API)
    writer.write_document(1, "w1", document)
    writer.finish_round(LOOK)
    return path


def document_file(path: Path) -> Path:
    return path / "look-1" / "nodes" / "w1.json.gz"


def change_index(path: Path, **changes: Any) -> None:
    file = path / "snapshot.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    snapshot = Snapshot.open(written(tmp_path))
    assert snapshot.index == msgspec.structs.replace(INDEX, looks=[LOOK])
    assert snapshot.api() == API
    assert snapshot.document("w1") == DOCUMENT
    assert snapshot.node_names() == ["w1"]


def test_a_recorded_snapshot_is_read() -> None:
    """Of the first format: whatever is changed, it must stay readable."""
    snapshot = Snapshot.open(Path(__file__).parents[1] / "recorded" / "snapshot")
    assert snapshot.index.format == 1
    assert snapshot.node_names() == ["wc-cp", "wc-w1", "wc-w2"]
    assert {node.metadata.name for node in snapshot.api().nodes} == set(snapshot.node_names())
    assert all(snapshot.document(name).probes for name in snapshot.node_names())


def test_the_api_is_shared_while_somebody_holds_it_and_the_file_is_the_same(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "s")
    snapshot = Snapshot.open(path)
    first = snapshot.api(1)
    assert Snapshot.open(path, snapshot.shared).api(1) is first

    later = ApiObjects(nodes=[NodeObject(metadata=Metadata(name="other"))])
    replacement = path / "api.json.gz"
    replacement.write_bytes(gzip.compress(msgspec.json.encode(later)))
    replacement.replace(path / "look-1" / "api.json.gz")

    assert snapshot.api(1) == later != first


def test_looks_are_kept_apart(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, INDEX)
    for look in (1, 2):
        api = msgspec.structs.replace(API, server_version=f"v{look}")
        document = msgspec.structs.replace(DOCUMENT, started=float(look))
        writer.write_api(look, api)
        writer.write_document(look, "w1", msgspec.json.encode(document))
        writer.finish_round(LOOK)
    snapshot = Snapshot.open(tmp_path / "snapshot.json")
    assert [snapshot.api(look).server_version for look in (1, 2)] == ["v1", "v2"]
    assert [snapshot.document("w1", look).started for look in (1, 2)] == [1.0, 2.0]
    with pytest.raises(SnapshotError, match="has 2 rounds, not 3"):
        snapshot.api(3)
    with pytest.raises(SnapshotError, match="has 2 rounds, not 0"):
        snapshot.api(0)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = written(tmp_path / "1"), written(tmp_path / "2")
    for file in ("snapshot.json", "look-1/api.json.gz", "look-1/nodes/w1.json.gz"):
        assert (one / file).read_bytes() == (two / file).read_bytes()


def test_an_interrupted_look_is_not_in_the_index(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, INDEX)
    writer.write_api(1, API)
    snapshot = Snapshot.open(tmp_path)
    assert snapshot.index.looks == []
    with pytest.raises(SnapshotError, match="no complete round: the run was interrupted"):
        snapshot.api()


def test_a_write_that_fails_leaves_no_file_with_the_final_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SnapshotWriter(tmp_path, INDEX)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SnapshotError, match=r"api\.json\.gz cannot be written: No space left"):
        writer.write_api(1, API)
    assert not (tmp_path / "look-1" / "api.json.gz").exists()


def test_a_snapshot_is_not_written_over_another(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(SnapshotError, match="contains a snapshot already"):
        SnapshotWriter(tmp_path, INDEX)


def test_a_folder_without_an_index_is_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=r"is not a snapshot: it has no snapshot\.json"):
        Snapshot.open(tmp_path)
    with pytest.raises(SnapshotError, match="is not a snapshot"):
        Snapshot.open(tmp_path / "absent")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"format": 1}', b'{"format": "x"}', b"[" * 100_000]
)
def test_a_broken_index_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    written(tmp_path)
    (tmp_path / "snapshot.json").write_bytes(content)
    with pytest.raises(SnapshotError, match=r"snapshot\.json has invalid content") as caught:
        Snapshot.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    written(tmp_path)
    change_index(tmp_path, format=2, wirecheck="9.0.0", novelty=True)
    with pytest.raises(SnapshotError, match=r"format 2, written by wirecheck 9\.0\.0; .* format 1"):
        Snapshot.open(tmp_path)


def test_a_document_of_a_newer_program_concerns_its_node_alone(tmp_path: Path) -> None:
    written(tmp_path, b'{"format": 2, "program": "9.0.0", "novelty": {}}')
    snapshot = Snapshot.open(tmp_path)
    assert snapshot.api() == API
    with pytest.raises(SnapshotError, match=r"w1\.json\.gz has format 2, written by .* 9\.0\.0"):
        snapshot.document("w1")


@pytest.mark.parametrize("name", ["look-1/api.json.gz", "look-1/nodes/w1.json.gz"])
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda whole: whole[: len(whole) // 2], "is truncated"),
        (lambda whole: whole[:-1], "is truncated"),
        (b"", "is truncated"),
        (b"not gzip at all", "damaged or not gzip data"),
        (lambda whole: whole[:15] + b"\0\xff\0" + whole[18:], "damaged|too early"),
        (gzip.compress(b"[1]", mtime=0), "has invalid content"),
        (gzip.compress(b"\xff", mtime=0), "has invalid content"),
        (gzip.compress(b"[" * 100_000, mtime=0), "has invalid content"),
        (None, "is missing"),
    ],
)
def test_a_damaged_file_is_one_sentence_with_its_name(
    tmp_path: Path, name: str, damage: Any, sentence: str
) -> None:
    snapshot = Snapshot.open(written(tmp_path))
    file = tmp_path / name
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage if isinstance(damage, bytes) else damage(file.read_bytes()))
    with pytest.raises(SnapshotError, match=sentence) as caught:
        snapshot.document("w1") if "nodes" in name else snapshot.api()
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_field_that_is_not_known_makes_a_document_invalid(tmp_path: Path) -> None:
    raw = {**msgspec.to_builtins(DOCUMENT), "surprise": 1}
    snapshot = Snapshot.open(written(tmp_path, json.dumps(raw).encode()))
    with pytest.raises(SnapshotError, match="unknown field `surprise`"):
        snapshot.document("w1")


def test_a_file_that_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = Snapshot.open(written(tmp_path))
    monkeypatch.setattr(folder, "LARGEST_DOCUMENT", folder.MEBIBYTE)
    document_file(tmp_path).write_bytes(gzip.compress(b" " * (folder.MEBIBYTE + 1), mtime=0))
    with pytest.raises(SnapshotError, match="decompresses to more than the 1 MiB"):
        snapshot.document("w1")
    document_file(tmp_path).write_bytes(b"\0" * (folder.MEBIBYTE + 1))
    with pytest.raises(SnapshotError, match="more than the 1 MiB"):
        snapshot.document("w1")


@pytest.mark.parametrize(
    "node", ["../../../secret", "/etc/shadow", "..", "", "a/b", "A", "x\0y", "\ud800", "n" * 253]
)
def test_a_name_leads_nowhere_outside_the_folder(tmp_path: Path, node: str) -> None:
    inside = tmp_path / "snapshot"
    (tmp_path / "secret.json.gz").write_bytes(gzip.compress(msgspec.json.encode(DOCUMENT), mtime=0))
    snapshot = Snapshot.open(written(inside))
    with pytest.raises(SnapshotError, match="is missing") as caught:
        snapshot.document(node)
    assert str(inside / "look-1" / "nodes") in str(caught.value)


def test_a_very_long_name_has_its_own_file(tmp_path: Path) -> None:
    names = ["n" * 253, "n" * 252 + "m"]
    writer = SnapshotWriter(tmp_path, INDEX)
    for name in names:
        document = msgspec.structs.replace(DOCUMENT, host=Host(name))
        writer.write_document(1, name, msgspec.json.encode(document))
    writer.finish_round(RoundRecord(1.0, 2.0, visits=dict.fromkeys(names, SEEN)))
    snapshot = Snapshot.open(tmp_path)
    assert [snapshot.document(name).host.hostname for name in names] == names


def test_what_is_not_a_regular_file_is_not_opened(tmp_path: Path) -> None:
    snapshot = Snapshot.open(written(tmp_path))
    file = document_file(tmp_path)
    file.unlink()
    file.symlink_to("/dev/zero")
    with pytest.raises(SnapshotError, match="cannot be read"):
        snapshot.document("w1")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(SnapshotError, match="not a regular file"):
        snapshot.document("w1")


@pytest.mark.parametrize("time", [1e300, -1.0, 253_402_300_800.0])
def test_a_time_that_no_calendar_has_is_refused(tmp_path: Path, time: float) -> None:
    SnapshotWriter(tmp_path, SnapshotIndex(FORMAT, "0", time))

    with pytest.raises(SnapshotError, match="has an impossible time"):
        Snapshot.open(tmp_path)
