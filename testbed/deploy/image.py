"""wirecheck's image: made by deploy/Dockerfile, and brought to every node's containerd."""

from __future__ import annotations

import fcntl
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from testbed.commands import attempt, run
from testbed.layout import LABEL
from testbed.nodes import run as run_on_node
from testbed.release.lock import OF_IMAGE
from testbed.release.tools import download_locked
from testbed.rootfs import mirror, remove_tree
from testbed.state import State, is_fresh, key_of, mark_fresh, mark_stale

REPOSITORY = "testbed.test/wirecheck"
PROJECT = Path(__file__).parents[2]
DOCKERFILE = PROJECT / "deploy/Dockerfile"
SUITE = "trixie"
PYTHON = "3.13"
"""The one that Debian of that name has."""
_NEEDLESS = ("usr/share/doc", "usr/share/man", "usr/share/locale")


def build(here: State) -> str:
    """Make the image, or find it made; its name changes with what is in it."""
    with (here.root / "lock-image").open("w") as lock:
        # Two at once would take the base's root file system away from each other.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build(here)


def _build(here: State) -> str:
    base = _base(here)
    wheels = _wheels(here)
    files = sorted(wheels.glob("*.whl"))
    # A wheel of the same sources has the same members, but not the same bytes.
    sources = [PROJECT / "wirecheck", PROJECT / "checks", PROJECT / "pyproject.toml"]
    recipe = [DOCKERFILE, OF_IMAGE, *_code(sources)]
    name = f"{REPOSITORY}:{key_of([base, *recipe, *map(str, files)])[:12]}"
    if attempt(["docker", "image", "inspect", name]).status == 0:
        return name
    docker_build(name, wheels, base=base, labels=[LABEL], log=here.log / "image.log")
    for old in run(
        ["docker", "images", REPOSITORY, "--format", "{{.Repository}}:{{.Tag}}"]
    ).split():
        if old != name:
            attempt(["docker", "image", "rm", old])
    return name


def docker_build(
    name: str,
    context: Path,
    *,
    base: str,
    labels: Sequence[str],
    log: Path,
    dockerfile: Path = DOCKERFILE,
) -> None:
    """Build the image of a context that has every wheel: pip asks no registry."""
    choice = {"BASE": base, "PIP_ARGS": "--no-index"}
    arguments = [a for key, value in choice.items() for a in ("--build-arg", f"{key}={value}")]
    marks = [word for label in labels for word in ("--label", label)]
    run(
        [
            *("nice", "docker", "build", "--network", "host", *marks, *arguments),
            *("--file", str(dockerfile), "--tag", name, str(context)),
        ],
        timeout=900,
        log=log,
        env={"DOCKER_BUILDKIT": "0"},
    )


def _code(sources: Sequence[Path]) -> list[Path]:
    found = []
    for source in sources:
        files = source.rglob("*") if source.is_dir() else [source]
        found += [each for each in files if each.is_file() and each.suffix != ".pyc"]
    return sorted(found)


def _base(here: State) -> str:
    """A bare Debian; Docker's own cannot be fetched where only package registries are reached."""
    name = f"testbed.test/debian:{SUITE}"
    if attempt(["docker", "image", "inspect", name]).status == 0:
        return name
    root = here.root / "rootfs-of-image"
    remove_tree(root)
    run(
        [
            *("nice", "debootstrap", "--variant=minbase", "--include=ca-certificates"),
            *(SUITE, str(root), mirror()),
        ],
        timeout=1800,
        log=here.log / "debootstrap-image.log",
    )
    run(["chroot", str(root), "apt-get", "clean"])
    for folder in _NEEDLESS:
        shutil.rmtree(root / folder, ignore_errors=True)
    here.images.mkdir(parents=True, exist_ok=True)
    draft = here.images / "base.tar.draft"
    run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(draft), "."], timeout=600)
    run(["docker", "import", "--change", f"LABEL {LABEL}", str(draft), name], timeout=600)
    draft.unlink()
    remove_tree(root)
    return name


def _wheels(here: State) -> Path:
    """The build context: wirecheck's wheel, made anew, with the lock and the wheels it names."""
    folder = here.root / "wheels"
    folder.mkdir(exist_ok=True)
    key = key_of([OF_IMAGE, PYTHON])
    if not is_fresh(folder, key):
        mark_stale(folder)
        # Another lock names other wheels; the old ones would only make the context larger.
        remove_tree(folder)
        folder.mkdir()
        download_locked(OF_IMAGE, folder, PYTHON)
        mark_fresh(folder, key)
    for old in folder.glob("wirecheck-*.whl"):
        old.unlink()
    pip = [sys.executable, "-m", "pip", "--quiet"]
    run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(PROJECT)], timeout=600)
    shutil.copy(OF_IMAGE, folder)
    return folder


def bring(name: str, nodes: Sequence[str], here: State) -> None:
    """Import the image into the containerd of each node that does not have it."""
    without = [node for node in nodes if name not in _images(node)]
    if not without:
        return
    archive = here.images / "wirecheck.tar"
    run(["docker", "save", "--output", str(archive), name], timeout=300)
    bring_archive(name, archive, without)
    archive.unlink()


def bring_archive(name: str, archive: Path, nodes: Sequence[str]) -> None:
    """Import an archive with the image into the containerd of each node that does not have it."""
    without = [node for node in nodes if name not in _images(node)]
    if without:
        with ThreadPoolExecutor(len(without)) as pool:
            list(pool.map(lambda node: _import(node, archive), without))


def _images(node: str) -> list[str]:
    return run_on_node(node, ["ctr", "--namespace", "k8s.io", "images", "ls", "-q"]).stdout.split()


def _import(node: str, archive: Path) -> None:
    run(["docker", "cp", str(archive), f"{node}:/var/tmp/wirecheck.tar"], timeout=300)
    ctr = ["ctr", "--namespace", "k8s.io", "images", "import", "/var/tmp/wirecheck.tar"]
    run(["docker", "exec", node, *ctr], timeout=300)
    run(["docker", "exec", node, "rm", "/var/tmp/wirecheck.tar"])
