"""Whatever an inventory holds, reading it ends in an inventory or in one sentence."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import msgspec
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.garbling import HOSTILE, garbled, garbled_text
from wirecheck.inventory.file import (
    AccessMethod,
    Inventory,
    InventoryError,
    UnusableAccess,
    access_methods,
    read_inventory,
)
from wirecheck.snapshot.objects.node import NodeObject

EXAMPLES = sorted((Path(__file__).parents[2] / "inventories").glob("*.yaml"))
TEXTS = [each.read_text() for each in EXAMPLES]
NODES = [
    msgspec.convert(
        {
            "metadata": {"name": name},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        },
        NodeObject,
    )
    for name in ("wc-w1", *HOSTILE)
    for address in ("192.0.2.1", "fd00::1", "-oProxyCommand=x", *HOSTILE)
]
seeds = st.integers(0, 2**32)


def read(folder: Path, raw: bytes) -> Inventory | None:
    file = folder / "inventory.yaml"
    file.write_bytes(raw)
    said = ""
    try:
        inventory = read_inventory(file)
    except InventoryError as error:
        said = str(error)
    if said:
        assert said.startswith(str(file))
        assert len(said) < 5000
        return None
    for node in NODES:
        check(access_methods(inventory, [node]).values())
    return inventory


def check(methods: Iterable[AccessMethod | UnusableAccess | None]) -> None:
    """Nothing of it could become an option or shell text."""
    for access in methods:
        if isinstance(access, AccessMethod):
            assert access.uri.isprintable()
            assert not set(access.uri) & set(" \"'`$;|&<>\\")
            assert "://-" not in access.uri


def test_the_examples_are_read(tmp_path: Path) -> None:
    assert all(read(tmp_path, text.encode()) for text in TEXTS)


@given(seed=seeds)
def test_garbled_values(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = garbled(yaml.safe_load(chance.choice(TEXTS)), chance, chance.randint(1, 5))
    read(tmp_path, yaml.safe_dump(content).encode(errors="replace"))


@given(seed=seeds)
def test_garbled_text(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    read(tmp_path, garbled_text(chance.choice(TEXTS), chance).encode(errors="replace"))


@given(raw=st.binary(max_size=200))
def test_any_bytes(tmp_path: Path, raw: bytes) -> None:
    read(tmp_path, raw)
