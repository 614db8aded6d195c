"""Whether a process has ended, of which a test is not the parent."""

from __future__ import annotations

import time
from pathlib import Path


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has waited for stays as a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def goes_away(pid: int) -> bool:
    """Whether it ends soon: the kernel ends it a moment after the signal."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if is_gone(pid):
            return True
        time.sleep(0.01)
    return False
