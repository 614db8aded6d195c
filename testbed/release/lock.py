"""`python -m testbed.release.lock`: pins every dependency, with the hashes of its files.

Two files: what the image and the users of a release install, and what builds a release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from testbed.commands import TestbedError, run
from testbed.release.tools import REQUIREMENTS as OF_TOOLS
from testbed.release.tools import tools
from testbed.state import SOURCE, state
from testbed.steps import step

PROJECT = SOURCE.parent
OF_IMAGE = PROJECT / "deploy/requirements.txt"
OLDEST_PYTHON = "3.11"
SOURCES: Mapping[Path, Sequence[str]] = {
    OF_IMAGE: ["pyproject.toml"],
    OF_TOOLS: ["--group", "pyproject.toml:release"],
}
"""Each lock, and where its dependencies are declared."""


@click.command()
@click.option("--upgrade", is_flag=True, help="Take the newest release of each dependency.")
def main(upgrade: bool) -> None:
    """Pin every dependency of the image and of a release, with hashes."""
    try:
        uv = tools(state()) / "uv"
        for target, sources in SOURCES.items():
            with step(str(target.relative_to(PROJECT))):
                run(command(uv, target, sources, upgrade), timeout=900, cwd=PROJECT)
    except TestbedError as error:
        raise click.ClickException(str(error)) from None


def command(uv: Path, target: Path, sources: Sequence[str], upgrade: bool) -> list[str]:
    """Return the words that write one lock.

    It is valid for every supported Python on every machine, and names no registry: which one is
    used is the configuration of whoever installs.
    """
    return [
        *(str(uv), "pip", "compile", "--quiet", *sources),
        *("--output-file", str(target.relative_to(PROJECT))),
        *("--generate-hashes", "--universal", "--python-version", OLDEST_PYTHON),
        *("--no-emit-index-url", "--no-emit-find-links", "--no-config"),
        *("--custom-compile-command", "make lock"),
        *(["--upgrade"] if upgrade else []),
    ]


if __name__ == "__main__":
    main()
