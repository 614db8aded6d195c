"""A container of a real Podman as a node, made of this machine's own files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collect.this_machine import document, visited
from tests.needs import lacking, need
from wirecheck.inventory.file import AccessMethod

NAME = "wirecheck-test-node"
ACCESS = AccessMethod(node=NAME, uri=f"podman://{NAME}", address="127.0.0.1")
# crun takes no hybrid cgroups, and Podman's own default runtime may be either.
RUNTIMES = ("runc", "crun")
MODERATE = "1024:1024"
"""Podman's own limits are more than root may set without CAP_SYS_RESOURCE."""


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a running container; skips, with what Podman says, where none can be run."""
    need("root", "podman")
    with pytest.MonkeyPatch.context() as patch:
        for name, file in _configured(tmp_path_factory.mktemp("podman")).items():
            patch.setenv(name, str(file))
        said: list[str] = []
        for runtime in filter(shutil.which, RUNTIMES):
            if not (problem := _run(runtime)):
                break
            said.append(problem)
        else:
            lacking("podman", f"which runs no container here: {said}")
        yield NAME
        podman("rm", "--force", "--time", "0", NAME)


def _configured(folder: Path) -> dict[str, Path]:
    """Nothing of it lies in the store of the machine, nor speaks to its services."""
    storage, containers = folder / "storage.conf", folder / "containers.conf"
    storage.write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/root"\nrunroot = "{folder}/run"\n'
    )
    containers.write_text(
        f'[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\ntmp_dir = "{folder}/tmp"\n'
    )
    return {"CONTAINERS_STORAGE_CONF": storage, "CONTAINERS_CONF": containers}


def _run(runtime: str) -> str:
    """Start the container, or return why it does not run."""
    limits = [word for name in ("nofile", "nproc") for word in ("--ulimit", f"{name}={MODERATE}")]
    rights = ["--cap-add=ALL", "--cap-drop=SYS_RESOURCE"]
    rights += ["--security-opt=seccomp=unconfined", "--security-opt=unmask=ALL"]
    done = podman(
        *("--runtime", runtime, "run", "--detach", "--name", NAME, "--hostname", NAME),
        *("--network=none", f"--env=PATH={os.environ['PATH']}", *limits, *rights),
        # Its changes go into a layer above this machine's files.
        *("--rootfs", "/:O", "sleep", "1000"),
    )
    if done.returncode:
        podman("rm", "--force", NAME)
        return done.stderr.strip()[-300:]
    return ""


def podman(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["podman", *words], capture_output=True, text=True, timeout=120, check=False
    )


def test_a_container_is_visited(container: str) -> None:
    seen = document(ACCESS)

    assert seen.host.hostname == container
    assert [link.name for link in seen.namespaces[0].links] == ["lo"]


def test_a_container_that_does_not_exist(container: str) -> None:
    access = AccessMethod(node="n1", uri="podman://no-such-node", address="127.0.0.1")

    ((record, found),) = visited(access)

    assert not found
    assert "there is no such container on this machine" in record.reason
    assert "`podman ps` shows the names" in record.reason


def test_a_container_that_was_stopped(container: str) -> None:
    assert podman("stop", "--time", "0", container).returncode == 0
    try:
        ((record, found),) = visited(ACCESS)
    finally:
        podman("start", container)

    assert not found
    assert "its container is not running. Start it" in record.reason
