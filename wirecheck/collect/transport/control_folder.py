"""Where ssh's shared connections have their sockets: private, short, and gone at the end.

A run that was killed leaves its folder behind, and ssh its connections for a minute. The next run
removes both: a folder whose lock nobody holds belongs to no run.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PARENT = Path("/tmp")
PREFIX = "wirecheck-ssh-"
CLOSING_SECONDS = 3.0
"""Seconds for the connections to end."""
YOUNG = 60.0
"""Seconds in which a new folder may not have its lock yet."""
MOST_REMOVED = 100

_HELD: list[int] = []
"""Descriptors that keep locks until the process ends."""


@cache
def control_folder() -> Path:
    """The folder of this run. Removes those of killed runs first."""
    remove_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=PARENT))
    held = _locked(folder)
    if held is not None:
        _HELD.append(held)
    atexit.register(close_connections, folder)
    return folder


def remove_abandoned() -> None:
    """Remove the folders of this user that no running process holds."""
    for folder in list(_abandoned())[:MOST_REMOVED]:
        close_connections(folder)


def _abandoned() -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for folder in PARENT.glob(f"{PREFIX}*"):
            # Anyone can create such a name in /tmp: only a real folder of this user is one.
            status = folder.lstat()
            is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            if is_own and time.time() - status.st_mtime > YOUNG:
                held = _locked(folder)
                if held is not None:
                    os.close(held)
                    yield folder


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None if another process holds it."""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return None
    return held


def close_connections(folder: Path) -> None:
    """End all shared connections now; ssh itself would end them within a minute."""
    closing = []
    with contextlib.suppress(OSError):
        closing = [
            subprocess.Popen(
                ["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "node"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for socket in folder.iterdir()
        ]
    end = time.monotonic() + CLOSING_SECONDS
    for process in closing:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
    shutil.rmtree(folder, ignore_errors=True)
