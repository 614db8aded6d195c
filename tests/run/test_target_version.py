"""The version that an upgrade leads to: from the option, the inventory or a snapshot."""

from __future__ import annotations

from pathlib import Path

import pytest

from wirecheck.inventory.file import InventoryError
from wirecheck.run.replay import Replay
from wirecheck.run.request import Request
from wirecheck.run.target_version import read_target_version

RECORDED = Path(__file__).parents[2] / "wirecheck/recorded/healthy"


NODES = 'nodes: [{name: "*", access: "ssh://root@{address}"}]\n'


def target_of(inventory: Path | None = None, target: str | None = None) -> str:
    request = Request(snapshot=RECORDED, inventory=inventory, target_version=target)
    return Replay.open(request).snapshot.index.upgrade_target


@pytest.mark.parametrize("text", ["1.40", "v1.40", "1.40.2"])
def test_a_version_is_read(text: str) -> None:
    assert read_target_version(text) == text


@pytest.mark.parametrize("text", ["", "latest", "40", "2.0", "1.4x", "1.40; reboot", "1.40\n"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write 1\.40"):
        read_target_version(text)


def test_the_option_wins_over_the_inventory(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(NODES + 'upgrade_target: "1.38"\n')

    assert target_of() == ""
    assert target_of(target="1.40") == "1.40"
    assert target_of(inventory=inventory) == "1.38"
    assert target_of(inventory=inventory, target="1.40") == "1.40"


@pytest.mark.parametrize("text", ["1.40", '"soon"'])
def test_an_inventory_needs_a_version_in_quotes(tmp_path: Path, text: str) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(f"{NODES}upgrade_target: {text}\n")

    with pytest.raises(InventoryError, match="upgrade_target"):
        target_of(inventory=inventory)
