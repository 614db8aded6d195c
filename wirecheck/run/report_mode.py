"""Who may read a run's folder: its owner alone, unless `--report-mode` admits a collector."""

from __future__ import annotations

import os
import re
from pathlib import Path

PRIVATE = 0o700
FILES = 0o666
"""What a file gets of the folder's mode: nothing in a report is executed."""


def read_mode(text: str) -> int:
    """The mode of a report's folders, in octal: `0750`. Raises ValueError with a sentence."""
    if not re.fullmatch(r"0?7[0-7]{2}", text):
        raise ValueError(
            f"{text[:20]!r} is not a mode in which the owner can use the folder: write three octal "
            "digits of which the first is 7, such as 0750 for readers of its group."
        )
    return int(text, 8)


def set_mode(folder: Path, mode: int) -> None:
    """Give a report's folder, and everything in it, its mode. Raises OSError."""
    for parent, folders, files in os.walk(folder):
        for name in folders:
            Path(parent, name).chmod(mode)
        for name in files:
            Path(parent, name).chmod(mode & FILES)
    # Last, so that nobody sees a folder that is half open.
    folder.chmod(mode)
