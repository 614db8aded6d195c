"""Processes that outlive this program: starting one, and ending that one only."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from testbed.commands import TestbedError

_PATIENCE = 15.0


def start(argv: Sequence[str], log: Path, **env: str) -> subprocess.Popen[bytes]:
    """Start a program that keeps running when this one ends; what it says goes to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
            start_new_session=True,
        )


def is_ours(pid: int, words: tuple[str, ...]) -> bool:
    """Whether the process runs and each of `words` is one of its arguments.

    A number in a file may by now belong to somebody else's process.
    """
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return bool(words) and all(word in arguments for word in words)


def recorded(pid_file: Path, words: tuple[str, ...]) -> int | None:
    """The process of a pid file, None if it has ended or the number is another's now."""
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if pid > 1 and is_ours(pid, words) else None


def end(pid_file: Path, words: tuple[str, ...]) -> None:
    """End the process of a pid file if it is ours, and remove the file."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        pid = recorded(pid_file, words)
        if pid is None:
            pid_file.unlink(missing_ok=True)
            return
        os.kill(pid, number)
        _wait_for_end(pid_file, words)
    if recorded(pid_file, words) is not None:
        raise TestbedError(f"the process of {pid_file} does not end")


def _wait_for_end(pid_file: Path, words: tuple[str, ...]) -> None:
    limit = time.monotonic() + _PATIENCE
    while time.monotonic() < limit and recorded(pid_file, words) is not None:
        time.sleep(0.1)
