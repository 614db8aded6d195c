"""The image of a release: its base by digest, its dependencies by hash, and what is in it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from testbed.commands import TestbedError, attempt, run
from testbed.deploy.image import PYTHON, docker_build
from testbed.release.artefacts import LOCK, Artefacts
from testbed.release.source import Source
from testbed.release.tools import download_locked

_LIST = ("dpkg-query", "--show", "--showformat=${Package}\t${Version}\t${Architecture}\n")


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """The name and base of an image, and where its release comes from."""

    name: str
    base: str
    repository: str
    source: Source
    version: str

    @property
    def labels(self) -> list[str]:
        """The labels that registries and scanners read (OCI image specification)."""
        values = {
            "source": self.repository,
            "revision": self.source.commit,
            "version": self.version,
            "licenses": "Apache-2.0",
            "base.name": self.base,
        }
        return [f"org.opencontainers.image.{key}={value}" for key, value in values.items()]


def docker_answers() -> bool:
    """Return whether a Docker Engine can be used on this machine."""
    if shutil.which("docker") is None:
        return False
    return attempt(["docker", "version", "--format", "{{.Server.Version}}"]).status == 0


def build_image(build: ImageBuild, tree: Path, made: Artefacts, scratch: Path) -> str:
    """Build and save the image. Returns its Debian packages, as dpkg-query lists them."""
    context = scratch / "context"
    context.mkdir()
    shutil.copy(made.wheel, context)
    shutil.copy(tree / LOCK, context)
    download_locked(tree / LOCK, context, PYTHON)
    log = made.folder.with_name(f"{made.folder.name}-image.log")
    dockerfile = tree / "deploy/Dockerfile"
    docker_build(
        build.name, context, base=build.base, labels=build.labels, log=log, dockerfile=dockerfile
    )
    _check(build)
    run(["docker", "save", "--output", str(made.image), build.name], timeout=300)
    return run([*_in(build.name, _LIST[0]), *_LIST[1:]], timeout=120)


def _check(build: ImageBuild) -> None:
    """The image runs the version that it is named for, as the user of deploy/."""
    words = [*_in(build.name, "wirecheck"), "--version"]
    answer = run(words, timeout=120)
    if build.version not in answer.split():
        raise TestbedError(f"the image {build.name} is not version {build.version}: {answer}")


def _in(name: str, program: str) -> list[str]:
    isolated = ["--network", "none", "--read-only", "--user", "65532:65532"]
    return ["docker", "run", "--rm", *isolated, "--entrypoint", program, name]
