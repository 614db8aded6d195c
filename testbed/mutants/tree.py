"""Copies of the tree, in which files are mutated and tests run. The checkout is never touched."""

from __future__ import annotations

import filecmp
import hashlib
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_IGNORED = {"__pycache__", ".git", ".venv"}


def files_of(project: Path) -> list[str]:
    """Return what belongs to the project: what git tracks and does not ignore, or all files."""
    if (project / ".git").exists():
        words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(words, cwd=project, capture_output=True, text=True, check=True)
        names = listed.stdout.split("\0")
    else:
        names = [str(path.relative_to(project)) for path in project.rglob("*")]
    return sorted({name for name in names if _belongs(project, name)})


def _belongs(project: Path, name: str) -> bool:
    return (project / name).is_file() and not _IGNORED & set(Path(name).parts)


def fingerprint(project: Path, files: Iterable[str], salt: Sequence[str] = ()) -> str:
    """Return a hash of all files that a test's outcome may depend on. Prose is left out."""
    digest = hashlib.sha256("\0".join(salt).encode())
    for name in files:
        if not name.endswith(".md"):
            content = hashlib.sha256((project / name).read_bytes()).digest()
            digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:16]


class Tree:
    """One copy of the project."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def synchronise(self, project: Path, files: Sequence[str]) -> None:
        """Make it equal to the project again, whatever a run that was killed has left in it."""
        wanted = set(files)
        for name in files_of(self.path) if self.path.exists() else ():
            if name not in wanted:
                (self.path / name).unlink()
        for name in files:
            source, copy = project / name, self.path / name
            if not copy.exists() or not filecmp.cmp(source, copy, shallow=False):
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, copy)
                _forget_bytecode(copy)

    @contextmanager
    def changed(self, file: str, text: str) -> Iterator[None]:
        """Give a file another text for as long as the context lasts."""
        path = self.path / file
        original = path.read_bytes()
        _write(path, text.encode())
        try:
            yield
        finally:
            _write(path, original)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    _forget_bytecode(path)


def _forget_bytecode(path: Path) -> None:
    """Remove compiled files: Python takes one as current if time (in seconds) and size agree."""
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()
