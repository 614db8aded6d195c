"""`python -m testbed.release`: every file of one release, from the tag of the current commit.

docs/releasing.md describes the files, and what is left to do once they are there.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import click

from testbed.commands import TestbedError
from testbed.release.artefacts import CHART
from testbed.release.building import Job, build_all
from testbed.release.image import docker_answers
from testbed.release.lock import PROJECT
from testbed.release.refusals import refusals
from testbed.release.source import Published, Source, export, read_published, read_source
from testbed.release.tools import tools
from testbed.state import state
from testbed.steps import step

NO_DOCKER = (
    "No Docker Engine answers, so the image cannot be built. Start one, or leave the image out "
    "with --without-image."
)

NO_HELM = (
    "helm is not installed, so the chart cannot be packed. Install it; the one that `make deploy` "
    "builds for the test cluster is used as well."
)


@click.command()
@click.option(
    "--rehearse",
    is_flag=True,
    help="Build everything although it cannot be released, and report why it cannot.",
)
@click.option(
    "--base-image",
    metavar="NAME@DIGEST",
    help="Base of the image, instead of `base_image` in publishing.toml.",
)
@click.option("--without-image", is_flag=True, help="Build no image.")
def main(rehearse: bool, base_image: str | None, without_image: bool) -> None:
    """Build every file of the release that the current commit's tag names."""
    try:
        folder = release(PROJECT, rehearse, base_image, without_image)
    except TestbedError as error:
        raise click.ClickException(str(error)) from None
    for path in sorted(folder.iterdir()):
        click.echo(f"  {path.name}  {path.stat().st_size:,} bytes")
    kind = "A rehearsal: nothing of it may be published" if rehearse else "Sign and publish them"
    click.echo(f"{folder}\n{kind}; docs/releasing.md describes how.")


def release(project: Path, rehearse: bool, base_image: str | None, without_image: bool) -> Path:
    """Return the folder with the files. Raises TestbedError with every reason to refuse."""
    source = read_source(project)
    here = state()
    target = here.root.parent / "release" / ("rehearsal" if rehearse else source.commit[:12])
    with tempfile.TemporaryDirectory(prefix="wirecheck-release-") as folder:
        scratch = Path(folder)
        # What is released is the commit; files that are only on disk have no part in it.
        tree = scratch / "tree"
        export(project, source.commit, tree)
        published = read_published(tree)
        base = None if without_image else base_image or published.base_image
        reasons = refusals(source, published, base)
        if base is not None and not docker_answers():
            reasons.append(NO_DOCKER)
            base = None
        has_chart = (tree / CHART).is_dir()
        packer = helm(here.bin) if has_chart else None
        reasons += [NO_HELM] * (has_chart and packer is None)
        refuse(reasons, rehearse)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        with step("tools"):
            programs = tools(here)
        version = version_of(source, published)
        job = Job(rehearse, source, published, base, packer, version, tree, scratch, programs)
        build_all(job, target)
    return target


def helm(built: Path) -> str | None:
    """Return the program, or the one that the test cluster has built; None if there is neither."""
    return shutil.which("helm") or shutil.which("helm", path=built)


def version_of(source: Source, published: Published) -> str:
    """Return the version that the tag names; a rehearsal without a tag has the package's."""
    return published.package_version if len(source.versions) != 1 else source.versions[0]


def refuse(reasons: list[str], rehearse: bool) -> None:
    """Raise TestbedError with all reasons; a rehearsal prints them and continues."""
    if not reasons:
        return
    if not rehearse:
        raise TestbedError("\n".join(["nothing is released:", *(f"  {each}" for each in reasons)]))
    for each in reasons:
        click.echo(f"  A release would be refused: {each}")


if __name__ == "__main__":
    main()
