"""Whatever a snapshot holds, judging it ends in results or in a sentence."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.garbling import garbled
from tests.snapshots import broken, healthy, written
from wirecheck.catalogue.registry import load
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.results.records import ItemResult
from wirecheck.snapshot.folder import Snapshot, SnapshotError

CHECKS = load()
seeds = st.integers(0, 2**32)
INDEX, API, DOCUMENT = "snapshot.json", "look-1/api.json.gz", "look-1/nodes/n1.json.gz"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("snapshot") / "whole", broken(), healthy())


@contextmanager
def altered(source: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield shutil.copytree(source, Path(folder) / "copy")


def content(file: Path) -> Any:
    raw = file.read_bytes()
    return json.loads(gzip.decompress(raw) if file.suffix == ".gz" else raw)


def put(file: Path, value: Any) -> None:
    raw = json.dumps(value).encode()
    file.write_bytes(gzip.compress(raw, 1) if file.suffix == ".gz" else raw)


def judged(folder: Path) -> list[ItemResult] | None:
    try:
        return list(evaluate(Snapshot.open(folder), CHECKS))
    except SnapshotError as error:
        said = str(error)
    assert len(said) < 3000
    return None


def test_as_it_is_it_is_judged(source: Path) -> None:
    items = judged(source)
    assert items
    assert len({item.check for item in items}) == len(CHECKS)


@pytest.mark.parametrize("file", [INDEX, API, DOCUMENT])
@given(seed=seeds)
def test_values_of_any_kind(source: Path, file: str, seed: int) -> None:
    chance = random.Random(seed)
    with altered(source) as folder:
        put(folder / file, garbled(content(folder / file), chance, chance.randint(1, 6)))
        judged(folder)


@pytest.mark.parametrize("file", [INDEX, API, DOCUMENT])
@given(seed=seeds)
def test_bytes_of_any_kind(source: Path, file: str, seed: int) -> None:
    chance = random.Random(seed)
    with altered(source) as folder:
        raw = bytearray((folder / file).read_bytes())
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(raw))
            raw[at : at + chance.randint(0, 40)] = chance.randbytes(chance.randint(0, 40))
        (folder / file).write_bytes(bytes(raw))
        judged(folder)
