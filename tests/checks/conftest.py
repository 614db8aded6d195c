import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.changed_recordings import Document, changed
from tests.checks.small_cluster import SmallCluster
from tests.test_network_recordings import FOLDER

MAPS = FOLDER.parent / "cilium-maps"


@pytest.fixture
def small() -> SmallCluster:
    """A healthy cluster of one node and two pods."""
    return SmallCluster()


@pytest.fixture
def with_maps(tmp_path: Path) -> Callable[..., Path]:
    """Makes a copy of a recording that has the maps, with a change to the document of each node."""

    def make(recording: str, change: Callable[[str, Document], None] = lambda *_: None) -> Path:
        def both(name: str, document: Document) -> None:
            file = MAPS / recording / f"{name}.json.gz"
            document["ebpf"] = json.loads(gzip.decompress(file.read_bytes()))
            change(name, document)

        return changed(FOLDER / f"cilium-{recording}", tmp_path / recording, both)

    return make
