"""Named values of a node: how many rules it has, by tool and table."""

from pathlib import Path

import pytest

from tests.snapshot.test_blocks import in_blocks
from wirecheck.cli.demo import recorded
from wirecheck.collect.on_node import pieces
from wirecheck.node.named_values import COUNT, facts_of
from wirecheck.snapshot.blocks import BlockText
from wirecheck.snapshot.folder import Snapshot


def numbers(snapshot: Snapshot, name: str) -> dict[str, str]:
    node = next(each for each in snapshot.api().nodes if each.metadata.name == name)
    facts = facts_of(node, None, snapshot.document(name))
    return {key: value for key, value in facts.items() if key.startswith(COUNT)}


@pytest.mark.parametrize("name", ["wc-w1", "wc-w2", "wc-cp"])
def test_rules_in_blocks_are_counted_as_those_in_one_text(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "NAMES", 4)
    plain = Snapshot.open(recorded("healthy"))
    blocks = in_blocks(plain, tmp_path)
    text = plain.document(name).commands["iptables-nft-save"].output
    _, _, nat = text.partition("*nat\n")
    rules = nat.partition("COMMIT")[0].count("\n-A")

    assert isinstance(blocks.document(name).commands["iptables-nft-save"].output, BlockText)
    assert numbers(blocks, name) == numbers(plain, name)
    assert numbers(plain, name)[f"{COUNT}iptables-nft rules in nat"] == f"{rules:,}"
    assert rules > 100
