"""Snapshots and results by their names below one folder, which nothing leads out of."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from wirecheck.run.request import RequestError
from wirecheck.snapshot.folder import INDEX

NO_FOLDER = "This server was started without a folder of snapshots. Start it with --snapshots DIR."
RESULTS = "results.jsonl"
MOST_FILES = 200_000
"""A snapshot of 5,000 nodes has about so many blocks and documents at the very most."""
DEPTH = 4
"""reports/CLUSTER/TIME/snapshot."""


def place_of(root: str | None, name: str) -> Path:
    """The file or folder `name` below `root`.

    Raises RequestError where it is missing, or leads out of `root` by any of its parts.
    """
    if root is None:
        raise RequestError(NO_FOLDER)
    base = Path(os.path.realpath(root))
    wrong = RequestError(
        f"{name} is not a file or folder below the folder of snapshots; `list` with what: "
        "snapshots shows the names."
    )
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise wrong
    try:
        path = Path(os.path.realpath(base / name))
        if path == base or not path.is_relative_to(base) or not path.exists():
            raise wrong
        _refuse_escapes(base, path)
        if path.is_file():  # `diff` also reads the snapshot beside a run's results
            _refuse_escapes(base, path.parent / "snapshot")
    except (OSError, ValueError):
        raise wrong from None
    return path


def _refuse_escapes(base: Path, path: Path) -> None:
    """Raise RequestError for links that lead out of `base`, and for pipes and devices."""
    for number, each in enumerate(_below(path)):
        if number >= MOST_FILES:
            raise RequestError(f"{path.name} has more than {MOST_FILES:,} files.")
        if each.is_symlink() and not Path(os.path.realpath(each)).is_relative_to(base):
            raise RequestError(
                f"{path.name} contains a link that leads out of the folder of snapshots."
            )
        if each.exists() and stat.S_IFMT(each.stat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            raise RequestError(f"{path.name} contains something that is not a file or folder.")


def _below(path: Path) -> Iterator[Path]:
    yield path
    for folder, folders, files in os.walk(path):
        yield from (Path(folder, name) for name in (*folders, *files))


def known_names(root: str | None) -> list[str]:
    """The snapshots and results that can be named, sorted. Raises RequestError without a folder."""
    if root is None:
        raise RequestError(NO_FOLDER)
    found = []
    for folder, folders, files in os.walk(root):
        name = os.path.relpath(folder, root)
        if name != "." and not {INDEX, RESULTS}.isdisjoint(files):
            found.append(name)
        deep = name.count(os.sep) + 1 >= DEPTH
        # Within a snapshot there are only its own files.
        folders[:] = [] if deep or INDEX in files else [each for each in folders if each[0] != "."]
    return sorted(each.encode(errors="replace").decode() for each in found)
