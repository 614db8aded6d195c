"""The chart of deploy/, installed by a real Helm, which is built from its Go module.

`python -m testbed.deploy.chart` builds Helm alone and prints its folder, for PATH.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import yaml

from testbed.cluster import kubectl
from testbed.commands import TestbedError, attempt, run
from testbed.components import Component, build
from testbed.deploy.image import PROJECT
from testbed.deploy.overlay import NAMESPACE, volume
from testbed.state import State, state, write_atomically

VERSION = "v4.3.2"
HELM = Component("helm", "helm", "helm.sh/helm/v4/cmd/helm")
CHART = PROJECT / "deploy/chart"
NAMESPACE_OF_AGENTS = PROJECT / "deploy/namespace"
LIMIT = 300.0

Document = dict[str, Any]


@contextmanager
def installed(here: State, image: str) -> Iterator[None]:
    """The chart is in the cluster with a new volume; nothing of it is afterwards."""
    program = build(HELM, here)
    values = here.root / "deploy/chart.yaml"
    values.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(values, yaml.safe_dump(values_for(image)))
    with volume(here):
        try:
            kubectl("apply", "--kustomize", str(NAMESPACE_OF_AGENTS), timeout=120)
            install = ("install", "wirecheck", str(CHART), "--values", str(values))
            run(_helm(program, here, *install), timeout=LIMIT)
            yield
        finally:
            # Neither may be there: the installation can have failed before it.
            _uninstall(program, here)
            kubectl(
                *("delete", "--kustomize", str(NAMESPACE_OF_AGENTS), "--ignore-not-found"),
                timeout=180,
            )


def values_for(image: str) -> Document:
    """The values for the test cluster: its image, and its one volume, which has no class."""
    return {"image": image, "results": {"storageClassName": "", "volumeName": "wirecheck-results"}}


def _helm(program: Path, here: State, *words: str) -> list[str]:
    return [str(program), *words, "--kubeconfig", str(here.kubeconfig), "--namespace", NAMESPACE]


def _uninstall(program: Path, here: State) -> None:
    words = ("uninstall", "wirecheck", "--ignore-not-found", "--wait", "--timeout", "120s")
    ended = attempt(_helm(program, here, *words), timeout=LIMIT)
    if ended.status:
        click.echo(f"helm uninstall: {ended.stderr[-300:]}")


@click.command()
def main() -> None:
    """Build Helm, and print the folder that has it."""
    try:
        click.echo(build(HELM, state()).parent)
    except TestbedError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
