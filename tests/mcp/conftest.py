"""A folder of snapshots, with things that lead out of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from wirecheck.cli.demo import recorded


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of snapshots, with things that lead out of it."""
    outside = tmp_path_factory.mktemp("outside")
    shutil.copytree(recorded("healthy"), outside / "healthy")
    folder = tmp_path_factory.mktemp("snapshots")
    for name in ("broken", "healthy"):
        shutil.copytree(recorded(name), folder / name)
    (folder / "out").symlink_to(outside / "healthy")
    shutil.copytree(recorded("healthy"), folder / "half")
    (folder / "half/look-1/api.json.gz").unlink()
    (folder / "half/look-1/api.json.gz").symlink_to(outside / "healthy/look-1/api.json.gz")
    shutil.copytree(recorded("healthy"), folder / "pipe")
    os.mkfifo(folder / "pipe/look-1/nodes/fifo")
    (folder / "loop").symlink_to(folder / "loop")
    return folder
