"""Recordings of Cilium's clusters together with the eBPF maps of the same moment."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.changed_recordings import Document, changed
from tests.test_network_recordings import FOLDER

MAPS = FOLDER.parent / "cilium-maps"

Change = Callable[[str, Document], None]


@pytest.fixture
def with_maps(tmp_path: Path) -> Callable[..., Path]:
    """Makes a copy of a recording that has the maps, with a change to the document of each node.

    `api` changes the API objects, to which the CiliumEndpoints are added.
    """

    def make(
        recording: str,
        change: Change = lambda *_: None,
        api: Callable[[Document], None] = lambda _: None,
    ) -> Path:
        def both(name: str, document: Document) -> None:
            document["ebpf"] = _read(MAPS / recording / f"{name}.json.gz")
            change(name, document)

        folder = changed(FOLDER / f"cilium-{recording}", tmp_path / recording, both)
        file = folder / "look-1" / "api.json.gz"
        objects = _read(file)
        objects["ciliumEndpoints"] = _read(MAPS / recording / "endpoints.json.gz")
        api(objects)
        file.write_bytes(gzip.compress(json.dumps(objects).encode(), 1))
        return folder

    return make


def _read(file: Path) -> Any:
    return json.loads(gzip.decompress(file.read_bytes()))
