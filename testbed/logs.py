"""Keeping the logs of nodes that are about to be removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from testbed.commands import attempt
from testbed.state import State


def collect(here: State, names: Iterable[str]) -> Path:
    """Copy /var/log of each node into the state folder, in place of an earlier failure's."""
    kept = here.log / "failed"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for name in names:
        attempt(["docker", "cp", f"{name}:/var/log", str(kept / name)], timeout=120)
    return kept
