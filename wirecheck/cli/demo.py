"""Recorded clusters that come with the package, to try wirecheck without a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from wirecheck.cli.shared_options import REPORT_DIR, verbosity_options
from wirecheck.results.exit_statuses import HEALTHY

CLUSTERS = ("broken", "healthy")
FOLDER = Path(__file__).parents[1] / "recorded"


def recorded(name: str) -> Path:
    """The snapshot of a recorded cluster. Raises RequestError where it was not installed."""
    from wirecheck.run.request import RequestError
    from wirecheck.snapshot.folder import INDEX

    folder = FOLDER / name
    if not (folder / INDEX).is_file():
        raise RequestError(
            f"The recorded cluster {folder} is missing from this installation. Reinstall "
            "wirecheck, or evaluate a snapshot of your own with `wirecheck run --snapshot`."
        )
    return folder


@click.command()
@click.argument("cluster", type=click.Choice(CLUSTERS), default=CLUSTERS[0])
@REPORT_DIR
@verbosity_options
def demo(*, cluster: str, report_dir: Path, verbosity: int) -> int:
    """Check a recorded cluster that comes with wirecheck. No cluster is needed."""
    from wirecheck.cli.outputs import perform_and_present
    from wirecheck.run.request import Request

    request = Request(snapshot=recorded(cluster), report_dir=report_dir)
    perform_and_present(request, (), (), verbosity)
    return HEALTHY
