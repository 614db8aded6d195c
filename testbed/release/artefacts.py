"""The files of one release: what they are called, and how each is built from a commit's files."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from testbed.commands import TestbedError, run

SUMS = "SHA256SUMS"
LOCK = "deploy/requirements.txt"
CHART = "deploy/chart"
_LIMIT = 600.0


@dataclass(frozen=True, slots=True)
class Artefacts:
    """The paths of a release's files below one folder."""

    folder: Path
    version: str

    @property
    def wheel(self) -> Path:
        return self.folder / f"wirecheck-{self.version}-py3-none-any.whl"

    @property
    def sdist(self) -> Path:
        return self.folder / f"wirecheck-{self.version}.tar.gz"

    @property
    def lock(self) -> Path:
        return self.folder / f"wirecheck-{self.version}-requirements.txt"

    @property
    def image(self) -> Path:
        return self.folder / f"wirecheck-{self.version}-image.tar"

    @property
    def chart(self) -> Path:
        return self.folder / f"wirecheck-{self.version}.tgz"

    @property
    def plugin(self) -> Path:
        return self.folder / f"kubectl-wirecheck-{self.version}-linux-amd64.tar.gz"

    @property
    def plugin_for_arm(self) -> Path:
        return self.folder / f"kubectl-wirecheck-{self.version}-linux-arm64.tar.gz"

    @property
    def manifest_of_plugin(self) -> Path:
        return self.folder / "wirecheck.yaml"

    @property
    def sbom(self) -> Path:
        return self.folder / f"wirecheck-{self.version}.cdx.json"

    @property
    def sbom_of_image(self) -> Path:
        return self.folder / f"wirecheck-{self.version}-image.cdx.json"


def build_packages(tools: Path, tree: Path, time: int, made: Artefacts) -> None:
    """Build the sdist, and from it the wheel; the same commit gives the same bytes.

    hatchling is the one that is locked, not one that is fetched while it builds.
    """
    words = [str(tools / "python"), "-m", "build", "--no-isolation", "--outdir", str(made.folder)]
    run([*words, str(tree)], timeout=_LIMIT, env={"SOURCE_DATE_EPOCH": str(time)})
    for path in (made.wheel, made.sdist):
        if not path.is_file():
            found = ", ".join(sorted(each.name for each in made.folder.iterdir())) or "nothing"
            raise TestbedError(f"the build made no {path.name}, but {found}")


def not_reproduced(first: Artefacts, again: Artefacts) -> list[str]:
    """Return the packages whose bytes differ between two builds, as sentences."""
    pairs = ((first.wheel, again.wheel), (first.sdist, again.sdist))
    return [
        f"{one.name} has other bytes when it is built again"
        for one, other in pairs
        if one.read_bytes() != other.read_bytes()
    ]


def copy_lock(tree: Path, made: Artefacts) -> None:
    """Publish the lock: what `pip install --require-hashes` takes beside the wheel."""
    shutil.copyfile(tree / LOCK, made.lock)


def package_chart(helm: str, tree: Path, made: Artefacts) -> None:
    """Pack the Helm chart with the release's version."""
    choice = ["--version", made.version, "--app-version", made.version]
    run([helm, "package", str(tree / CHART), *choice, "--destination", str(made.folder)])
    if not made.chart.is_file():
        raise TestbedError(f"helm made no {made.chart.name}: is the chart named wirecheck?")


def write_sums(folder: Path) -> Path:
    """Write the SHA-256 of every file beside it, as `sha256sum --check` reads it."""
    target = folder / SUMS
    files = sorted(path for path in folder.iterdir() if path != target and path.is_file())
    target.write_text("".join(f"{_digest(path)}  {path.name}\n" for path in files))
    return target


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
