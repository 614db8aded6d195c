"""Snapshots whose rules are in blocks give the verdicts of those that hold them as text."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import load
from wirecheck.cli.demo import recorded
from wirecheck.collect.on_node import pieces
from wirecheck.collect.on_node.rule_blocks import DIGITS, cut
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.network.registry import PLUGIN_NAMES
from wirecheck.results.records import ItemResult
from wirecheck.run.merge_snapshots import merge
from wirecheck.snapshot import blocks
from wirecheck.snapshot.blocks import BlockText, TextStore, digest_of, named, restored
from wirecheck.snapshot.folder import Snapshot, SnapshotWriter
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import NodeDocument
from wirecheck.snapshot.redact import redact

RULES = "iptables-nft-save"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "NAMES", 4)


def as_sent(document: NodeDocument, known: tuple[str, ...] = ()) -> bytes:
    """What the node program would have sent of it."""
    made: dict[str, Any] = msgspec.to_builtins(document)
    plan = {"least": 0, "known": [each[:DIGITS] for each in known]}
    made["blocks"] = cut(made["commands"].values(), plan)
    return msgspec.json.encode(made)


def in_blocks(snapshot: Snapshot, folder: Path, names: set[str] | None = None) -> Snapshot:
    """The same, as a run would have stored it; of other nodes only that they were not visited."""
    writer = SnapshotWriter(folder, msgspec.structs.replace(snapshot.index, looks=[]))
    for look, record in enumerate(snapshot.index.looks, start=1):
        writer.write_api(look, snapshot.api(look))
        visits = dict(record.visits)
        for name in snapshot.node_names(look):
            if names is not None and name not in names:
                visits[name] = VisitRecord(VisitStatus.NO_ACCESS, reason="It is another run's.")
                continue
            raw = as_sent(snapshot.document(name, look), writer.known_blocks)
            writer.write_document(look, name, raw)
        writer.finish_round(msgspec.structs.replace(record, visits=visits))
    return Snapshot.open(folder)


def items(snapshot: Snapshot) -> list[ItemResult]:
    return list(evaluate(snapshot, load()))


def files(folder: Path) -> list[Path]:
    return sorted((folder / "blocks").iterdir())


@pytest.mark.parametrize("name", ["healthy", "broken"])
def test_the_verdicts_are_the_same(name: str, tmp_path: Path) -> None:
    plain = Snapshot.open(recorded(name))

    found = in_blocks(plain, tmp_path)

    assert isinstance(found.document("wc-w1").commands[RULES].output, BlockText)
    assert items(found) == items(plain)


def test_what_nodes_have_in_common_is_stored_once(tmp_path: Path) -> None:
    plain = Snapshot.open(recorded("healthy"))
    once = len(files(in_blocks(plain, tmp_path / "one", {"wc-w1"}).path))

    found = in_blocks(plain, tmp_path / "all")

    assert once < len(files(found.path)) < 2 * once
    one, other = (
        {each.digest for each in text_of(found, node).blocks} for node in ("wc-w1", "wc-w2")
    )
    assert one & other
    raw = gzip.decompress((found.path / "look-1/nodes/wc-w1.json.gz").read_bytes())
    assert b"KUBE-SERVICES" not in raw


def text_of(snapshot: Snapshot, node: str) -> BlockText:
    text = snapshot.document(node).commands[RULES].output
    assert isinstance(text, BlockText)
    return text


def test_the_same_rules_are_the_same_text_for_the_next_node(tmp_path: Path) -> None:
    snapshot = in_blocks(Snapshot.open(recorded("healthy")), tmp_path)

    assert text_of(snapshot, "wc-w1") is text_of(snapshot, "wc-w1")


def test_merged_parts_share_their_blocks(tmp_path: Path) -> None:
    plain = Snapshot.open(recorded("broken"))
    whole = in_blocks(plain, tmp_path / "whole")
    parts = [
        in_blocks(plain, tmp_path / "a", {"wc-w1"}),
        in_blocks(plain, tmp_path / "b", {"wc-cp", "wc-w2"}),
    ]

    merged = merge(parts, tmp_path / "merged")

    assert [each.name for each in files(merged.path)] == [each.name for each in files(whole.path)]
    assert items(merged) == items(plain)


@pytest.mark.parametrize("name", ["healthy", "broken"])
def test_redacted_blocks_give_the_same_verdicts(name: str, tmp_path: Path) -> None:
    plain = Snapshot.open(recorded(name))
    snapshot = in_blocks(plain, tmp_path / "whole")

    dictionary = redact(snapshot, tmp_path / "redacted", PLUGIN_NAMES, key=b"0" * 32)

    redacted = Snapshot.open(tmp_path / "redacted")
    assert [(e.check, e.outcome, len(e.findings)) for e in items(redacted)] == [
        (e.check, e.outcome, len(e.findings)) for e in in_order(items(plain), dictionary.nodes)
    ]
    said = "".join(gzip.decompress(each.read_bytes()).decode() for each in files(redacted.path))
    assert '"shop/web' not in said
    assert f'"{dictionary.names["shop"]}/{dictionary.names["web"]}' in said


def in_order(found: list[ItemResult], nodes: dict[str, str]) -> list[ItemResult]:
    """In the order of the nodes' other names."""
    of_nodes = [each for each in found if each.node]
    others = [each for each in found if not each.node]
    return sorted(of_nodes, key=lambda each: nodes[each.node]) + others


DAMAGE = {
    "missing": lambda file: file.unlink(),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-9]),
    "another's": lambda file: file.write_bytes(gzip.compress(b"-A INPUT -j DROP\n")),
    "no text": lambda file: file.write_bytes(gzip.compress(b"\xff\xfe")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_block_that_is_lost_is_an_error_of_those_who_need_it(damage: str, tmp_path: Path) -> None:
    plain = Snapshot.open(recorded("healthy"))
    snapshot = in_blocks(plain, tmp_path)
    own = {each.digest for each in text_of(snapshot, "wc-w1").blocks}
    own -= {each.digest for name in ("wc-w2", "wc-cp") for each in text_of(snapshot, name).blocks}
    before = {(each.check, each.node): each for each in items(plain)}
    DAMAGE[damage](tmp_path / "blocks" / f"{min(own)}.gz")

    found = items(Snapshot.open(tmp_path))

    lost = [
        each
        for each in found
        # It says itself that nothing could be compared.
        if each != before[each.check, each.node] and not each.check.startswith("paths.")
    ]
    assert {each.node for each in lost} <= {"wc-w1", ""}
    assert {each.outcome for each in lost if each.node} == {Outcome.ERROR}
    assert all(min(own)[:12] in each.reason for each in lost if each.node)
    assert any(each.check == "services.backends_programmed" for each in lost)
    fine = {each.check for each in found if each.node == "wc-w1" and each not in lost}
    assert fine > {"pods.ip_on_interface", "dns.pods_resolve_udp"}


def test_a_block_that_is_not_what_it_is_named_by_is_nobodys(tmp_path: Path) -> None:
    plain = Snapshot.open(recorded("healthy"))
    raw: dict[str, Any] = msgspec.json.decode(as_sent(plain.document("wc-w1")))
    digest = raw["commands"][RULES]["blocks"][0]
    raw["blocks"][digest] += "-A INPUT -j DROP\n"
    writer = SnapshotWriter(tmp_path, msgspec.structs.replace(plain.index, looks=[]))
    writer.write_api(1, plain.api())

    writer.write_document(1, "wc-w1", msgspec.json.encode(raw))
    assert digest not in writer.known_blocks

    writer.write_document(1, "wc-w2", as_sent(plain.document("wc-w1"), writer.known_blocks))
    writer.finish_round(plain.index.looks[0])
    # The next node sent it as it is.
    assert "-A INPUT -j DROP" not in text_of(Snapshot.open(tmp_path), "wc-w1")


@pytest.mark.parametrize("digest", ["../api", "../../../etc/passwd", "", "A" * 64, "\ud83d" * 64])
def test_what_is_no_digest_names_no_file(digest: str, tmp_path: Path) -> None:
    plain = Snapshot.open(recorded("healthy"))
    document: dict[str, Any] = msgspec.to_builtins(plain.document("wc-w1"))
    document["commands"][RULES] |= {"output": "", "blocks": ["0" * 64]}
    snapshot = in_blocks(plain, tmp_path)
    text = msgspec.json.encode(document).replace(b"0" * 64, digest.encode(errors="replace"))
    (tmp_path / "look-1/nodes/wc-w1.json.gz").write_bytes(gzip.compress(text))

    command = snapshot.document("wc-w1").commands[RULES]

    assert (command.output, command.status) == ("", None)
    assert "is not the name of a block" in command.problem


def test_blocks_that_are_large_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MOST_CHARACTERS", 100)
    text = "x" * 60
    document = Snapshot.open(recorded("healthy")).document("wc-w1")
    command = msgspec.structs.replace(
        document.commands[RULES], output="", blocks=[digest_of(text)] * 9
    )
    document = msgspec.structs.replace(
        document, commands={RULES: command}, blocks={digest_of(text): text}
    )

    found = restored(document, lambda _: "", TextStore()).commands[RULES]

    assert "exceed the size of any output" in found.problem


def test_naming_is_the_opposite_of_restoring() -> None:
    document = Snapshot.open(recorded("healthy")).document("wc-w1")
    store = TextStore()
    text = store.joined([store.block_of(each) for each in ("one\n", "two\n", "one\n")])
    command = msgspec.structs.replace(document.commands[RULES], output=text)
    whole = msgspec.structs.replace(document, commands={RULES: command})

    assert named(document) == document
    assert named(whole).blocks == {digest_of(each): each for each in ("one\n", "two\n")}
    assert blocks.whole(named(whole)).commands[RULES].output == text
    assert restored(named(whole), lambda _: "", store).commands[RULES].output is text


def test_a_run_that_names_known_blocks_gets_their_names_alone(tmp_path: Path) -> None:
    plain = Snapshot.open(recorded("healthy"))
    writer = SnapshotWriter(tmp_path, msgspec.structs.replace(plain.index, looks=[]))
    first = as_sent(plain.document("wc-w1"), writer.known_blocks)
    writer.write_document(1, "wc-w1", first)

    again = as_sent(plain.document("wc-w1"), writer.known_blocks)

    assert msgspec.json.decode(again)["blocks"] == {}
    assert len(again) < len(first)
