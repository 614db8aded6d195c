"""ssh's control folders of killed runs are removed by the next one, and nothing else."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wirecheck.collect.transport import control_folder as module
from wirecheck.collect.transport.control_folder import PREFIX, control_folder, remove_abandoned

HOUR = 3600.0


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(module, "PARENT", tmp_path)
    monkeypatch.setattr(module.atexit, "register", lambda *_: None)
    control_folder.cache_clear()
    yield tmp_path
    control_folder.cache_clear()


def old(path: Path) -> Path:
    past = time.time() - HOUR
    os.utime(path, (past, past), follow_symlinks=False)
    return path


def test_the_folder_of_a_killed_run_is_removed(parent: Path) -> None:
    left = parent / f"{PREFIX}left"
    left.mkdir()
    old(left)

    own = control_folder()

    assert not left.exists()
    assert own.is_dir()
    assert own.stat().st_mode & 0o777 == 0o700


def test_the_folders_of_others_and_of_running_runs_stay(parent: Path) -> None:
    target = parent / "target"
    target.mkdir()
    kept = [parent / f"{PREFIX}{name}" for name in ("held", "young", "link", "file")]
    held, young, link, file = kept
    held.mkdir()
    young.mkdir()
    link.symlink_to(target)
    file.write_text("")
    descriptor = os.open(held, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    for each in (held, link, file):
        old(each)
    try:
        remove_abandoned()
    finally:
        os.close(descriptor)

    assert all(each.is_symlink() or each.exists() for each in kept)
    assert target.is_dir()


def test_a_folder_of_this_run_is_not_abandoned(parent: Path) -> None:
    own = old(control_folder())

    remove_abandoned()
    assert own.is_dir()
