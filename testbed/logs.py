"""Keeping the logs of nodes that are about to be removed."""

from __future__ import annotations

import shutil
from pathlib import Path

from testbed.commands import attempt
from testbed.layout import CONTROL_PLANE, VM, WORKERS
from testbed.state import State


def collect(here: State) -> Path:
    """Copy /var/log of each node into the state folder, in place of an earlier failure's."""
    kept = here.log / "failed"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for name in (CONTROL_PLANE, *WORKERS):
        attempt(["docker", "cp", f"{name}:/var/log", str(kept / name)], timeout=120)
    over_ssh = ["scp", "-q", "-r", "-F", str(here.ssh_config)]
    attempt([*over_ssh, f"root@{VM}:/var/log", str(kept / VM)], timeout=120)
    return kept
