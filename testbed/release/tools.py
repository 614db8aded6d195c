"""The programs that lock and build: an environment of its own, installed with hashes."""

from __future__ import annotations

import sys
import venv
from pathlib import Path

from testbed.commands import run
from testbed.state import SOURCE, State, is_fresh, key_of, mark_fresh, mark_stale

REQUIREMENTS = SOURCE / "release/requirements.txt"
"""The lock of pyproject's group `release`."""

_LIMIT = 900.0


def tools(here: State) -> Path:
    """Return the folder of the programs. They are installed again when their lock has changed."""
    folder = here.root / "release-tools"
    key = key_of([REQUIREMENTS, sys.version])
    if not is_fresh(folder, key):
        mark_stale(folder)
        venv.create(folder, with_pip=True, symlinks=True, clear=True)
        install(folder / "bin/python", REQUIREMENTS)
        mark_fresh(folder, key)
    return folder / "bin"


def install(python: Path, requirements: Path, *options: str) -> None:
    """Install what the lock names, and nothing without one of its hashes."""
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    locked = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(requirements)]
    run([*pip, *options, *locked], timeout=_LIMIT)


def download_locked(lock: Path, folder: Path, python: str, *platforms: str) -> None:
    """Fetch the wheels that the lock names for one version of Python, each by one of its hashes.

    Without `platforms` they are for this machine.
    """
    choice = [f"--python-version={python}", "--only-binary=:all:", *platforms]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    locked = ["--require-hashes", "--requirement", str(lock), "--dest", str(folder)]
    run([*pip, *choice, *locked], timeout=_LIMIT)
