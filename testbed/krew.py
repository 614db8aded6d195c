"""`python -m testbed.krew FOLDER`: the archives of the kubectl plugin, and its manifest for krew.

An archive is a program and the package with everything it needs, so that no registry is asked
when the plugin is installed. Wheels with C code are for one version of Python each.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import shutil
import string
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from testbed.commands import run
from testbed.release.lock import OF_IMAGE
from testbed.release.source import read_published
from testbed.release.tools import download_locked

PROJECT = Path(__file__).parents[1]
SOURCE = PROJECT / "deploy/krew"
PROGRAM = "kubectl-wirecheck"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Architectures by the name that krew has for them, and the one in the name of a wheel."""

GLIBC = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
"""Distributions since 2019 have glibc 2.28. pip wants each older platform named as well."""

_NEEDLESS = re.compile(r"/$|^[^/]+\.data/data/")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def main(folder: Path) -> None:
    """Make the archives and the manifest in FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = built_wheel(folder / "wheels")
    click.echo(make_plugin(wheel, OF_IMAGE, folder, folder))


def make_plugin(wheel: Path, lock: Path, scratch: Path, target: Path) -> Path:
    """Make the archives of the wheel and of what the lock names; return the manifest."""
    archives = {each: archive(wheel, lock, each, scratch) for each in MACHINES}
    made = {each: target / path.name for each, path in archives.items()}
    for each, path in archives.items():
        if path != made[each]:
            shutil.copyfile(path, made[each])
    written = target / "wirecheck.yaml"
    written.write_text(manifest(made))
    return written


def built_wheel(folder: Path) -> Path:
    """Build the package's wheel into a folder of its own."""
    for old in folder.glob("wirecheck-*.whl"):
        old.unlink()
    pip = [sys.executable, "-m", "pip", "--quiet"]
    run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(PROJECT)], timeout=600)
    (wheel,) = folder.glob("wirecheck-*.whl")
    return wheel


def archive(
    wheel: Path, lock: Path, machine: str, folder: Path, *, pythons: Sequence[str] = PYTHONS
) -> Path:
    """Make the archive for one architecture; return its path."""
    for python in pythons:
        place = folder / machine / python
        # Wheels of an earlier lock would be packed, too.
        shutil.rmtree(place, ignore_errors=True)
        platforms = [f"--platform={each}_{MACHINES[machine]}" for each in GLIBC]
        download_locked(lock, place, python, *platforms)
        shutil.copy(wheel, place)
    target = folder / f"{PROGRAM}-{version()}-linux-{machine}.tar.gz"
    wheels = {each: sorted((folder / machine / each).glob("*.whl")) for each in pythons}
    pack(members(wheels), target)
    return target


def members(wheels: dict[str, list[Path]]) -> dict[str, bytes]:
    """The files of an archive by name, from the wheels for each version of Python."""
    found = {
        PROGRAM: (SOURCE / PROGRAM).read_bytes(),
        "LICENSE": (PROJECT / "LICENSE").read_bytes(),
    }
    for python, files in wheels.items():
        # The launcher looks for this folder; a version needs one even if all its wheels are pure.
        found[f"lib-{python}/.python-{python}"] = b""
        for file in files:
            place = "lib" if file.stem.endswith("-none-any") else f"lib-{python}"
            with zipfile.ZipFile(file) as content:
                # Data such as manual pages belong beside an environment, which this is not.
                names = [name for name in content.namelist() if not _NEEDLESS.search(name)]
                found |= {f"{place}/{name}": content.read(name) for name in names}
    return found


def pack(files: dict[str, bytes], target: Path) -> None:
    """Write a tar archive whose bytes depend on nothing but the files."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as out,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o755 if name == PROGRAM else 0o644
            out.addfile(member, io.BytesIO(content))


def manifest(archives: dict[str, Path]) -> str:
    """The manifest that names these archives and their digests."""
    values = {"version": version(), "repository": read_published(PROJECT).repository}
    for machine, path in archives.items():
        values[f"archive_{machine}"] = path.name
        values[f"sha256_{machine}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    text = (SOURCE / "wirecheck.yaml").read_text()
    return string.Template(_without_comments(text.splitlines())).substitute(values)


def version() -> str:
    """The version of the package."""
    return read_published(PROJECT).package_version


def _without_comments(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines if not line.startswith("#"))


if __name__ == "__main__":
    main()
