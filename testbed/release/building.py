"""All files of one release, built one after the other into one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.commands import TestbedError, attempt
from testbed.krew import make_plugin
from testbed.package import missing_or_foreign
from testbed.release.artefacts import (
    Artefacts,
    build_packages,
    copy_lock,
    not_reproduced,
    package_chart,
    write_sums,
)
from testbed.release.image import ImageBuild, build_image
from testbed.release.sbom import objections_to, read_sbom, with_debian_packages
from testbed.release.source import Published, Source
from testbed.steps import step

REHEARSED = "testbed.test/wirecheck-rehearsal"
"""The name of an image that cannot be pushed by mistake: the domain is reserved (RFC 2606)."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a build starts from. Without `base` no image is built, without `helm` no chart."""

    rehearsal: bool
    source: Source
    published: Published
    base: str | None
    helm: str | None
    version: str
    tree: Path
    scratch: Path
    tools: Path


def build_all(job: Job, folder: Path) -> None:
    """Build every file. Raises TestbedError where one cannot be built or is not as it should be."""
    made = Artefacts(folder, job.version)
    with step("sdist and wheel, twice"):
        _packages(job, made)
    copy_lock(job.tree, made)
    if job.helm is not None:
        with step("chart"):
            package_chart(job.helm, job.tree, made)
    with step("plugin of kubectl"):
        make_plugin(made.wheel, made.lock, job.scratch / "plugin", made.folder)
    with step("SBOM"):
        sbom = read_sbom(job.tools, made.wheel, made.lock, job.tree, job.scratch)
        _write_sbom(job, sbom, made.sbom)
    if job.base is not None:
        with step("image and its SBOM"):
            _image(job, job.base, sbom, made)
    write_sums(folder)


def _packages(job: Job, made: Artefacts) -> None:
    build_packages(job.tools, job.tree, job.source.time, made)
    again = Artefacts(job.scratch / "again", job.version)
    again.folder.mkdir()
    build_packages(job.tools, job.tree, job.source.time, again)
    wrong = [*not_reproduced(made, again), *missing_or_foreign(made.wheel)]
    if wrong:
        raise TestbedError("; ".join(wrong))


def _image(job: Job, base: str, sbom: Mapping[str, Any], made: Artefacts) -> None:
    image = job.published.image
    name = f"{REHEARSED if job.rehearsal else image}:{job.version}"
    build = ImageBuild(name, base, job.published.repository, job.source, job.version)
    debian = build_image(build, job.tree, made, job.scratch)
    _write_sbom(job, with_debian_packages(sbom, debian, image), made.sbom_of_image)
    if job.rehearsal:
        attempt(["docker", "image", "rm", name])


def _write_sbom(job: Job, sbom: Mapping[str, Any], target: Path) -> None:
    target.write_text(json.dumps(sbom, indent=2, sort_keys=True) + "\n")
    if wrong := objections_to(job.tools, target):
        raise TestbedError(f"{target.name} is not valid CycloneDX: {wrong}")
