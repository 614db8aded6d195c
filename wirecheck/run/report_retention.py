"""Removes what a report directory no longer needs: folders of killed runs, and old reports."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from pathlib import Path

PART = ".part"
"""The end of the hidden name of a folder that a run still fills."""
KEPT = ".kept"
"""The end of the hidden name of a folder that a failed run kept, and named to its user."""
_RUN = re.compile(rf"\.?(\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\dZ)(?:-(\d+))?(?:{re.escape(KEPT)})?")


def hold(folder: Path) -> int | None:
    """Mark the folder as that of a running process, until this process ends.

    The mark is a lock, which the kernel takes back however a process ends, and which holds in
    other containers too. None if the folder has gone meanwhile; close what is returned.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    # Without locks (NFS has none on folders), no other run locks the folder to remove it either.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
    os.close(descriptor)
    return None


def remove_abandoned(parent: Path) -> list[Path]:
    """Remove the folders of killed runs and return them. Those of running ones stay."""
    return [folder for folder in sorted(parent.glob(f".*{PART}")) if _removed(folder)]


def _removed(folder: Path) -> bool:
    try:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(folder, flags)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    except OSError:  # its run has not ended, or its removal is not permitted
        return False
    finally:
        os.close(descriptor)
    return True


def prune(parent: Path, keep: int, spared: Path | None = None) -> None:
    """Remove all but the newest `keep` reports, and all but as many folders of failed runs.

    The one that `spared` is, or lies in, stays. What has another name than a report is not touched.
    """
    reports = [each for each in _reports(parent) if not each.name.endswith(KEPT)]
    given_up = [each for each in _reports(parent) if each.name.endswith(KEPT)]
    spared = spared.resolve() if spared else None
    for each in [*reports[keep:], *given_up[keep:]]:
        if not (spared and spared.is_relative_to(each.resolve())):
            shutil.rmtree(each, ignore_errors=True)


def _reports(parent: Path) -> list[Path]:
    """The newest first."""
    found = []
    for folder in parent.iterdir() if parent.is_dir() else ():
        match = _RUN.fullmatch(folder.name)
        if match and folder.is_dir() and not folder.is_symlink():
            found.append((match[1], int(match[2] or 1), folder))
    return [folder for *_, folder in sorted(found, reverse=True)]
