"""The commit that a release is made of, as git and the project's own files describe it."""

from __future__ import annotations

import re
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from testbed.commands import run

TAG = re.compile(r"v(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")
"""A tag that names a release, and its version (PEP 440)."""

_CODE_VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
_SECTION = re.compile(r"^## (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """A commit, and what would make it differ from what is on disk.

    `time` is the commit's, in seconds since 1970: archives get it instead of the time of the build.
    """

    commit: str
    time: int
    tags: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def versions(self) -> list[str]:
        """The versions that tags of this commit name."""
        matches = [TAG.fullmatch(tag) for tag in self.tags]
        return [match[1] for match in matches if match]


@dataclass(frozen=True, slots=True)
class Published:
    """What the project says about itself, in publishing.toml and where its version stands."""

    placeholders: bool
    repository: str
    image: str
    base_image: str
    package_version: str
    code_version: str
    changelog: tuple[str, ...]


def read_source(project: Path) -> Source:
    """Return what git says about the checkout. Raises TestbedError where it is not one."""
    git = ["git", "-C", str(project)]
    commit, time = run([*git, "log", "-1", "--format=%H %ct"]).split()
    changed = run([*git, "status", "--porcelain", "--untracked-files=all"]).splitlines()
    tags = run([*git, "tag", "--points-at", "HEAD"]).split()
    return Source(commit, int(time), tuple(tags), tuple(line[3:] for line in changed))


def export(project: Path, commit: str, target: Path) -> None:
    """Write the files of the commit into a folder: nothing else of the checkout is published."""
    archive = target.with_name(f"{target.name}.tar")
    run(["git", "-C", str(project), "archive", "--output", str(archive), commit], timeout=120)
    with tarfile.open(archive) as packed:
        packed.extractall(target, filter="data")
    archive.unlink()


def read_published(project: Path) -> Published:
    """Return what the files of a commit say."""
    publishing = tomllib.loads((project / "publishing.toml").read_text())
    package = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    code = _CODE_VERSION.search((project / "wirecheck/__init__.py").read_text())
    return Published(
        placeholders=publishing["placeholders"],
        repository=publishing["repository"],
        image=publishing["image"],
        base_image=publishing["base_image"],
        package_version=package["version"],
        code_version=code[1] if code else "",
        changelog=tuple(_SECTION.findall((project / "CHANGELOG.md").read_text())),
    )
