"""`wirecheck snapshot redact` and `record`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from wirecheck.cli.console import ConsoleProgress
from wirecheck.evaluation.verdict import HEALTHY, INCOMPLETE
from wirecheck.network.registry import OBJECT_NAMES
from wirecheck.run.live import LiveRun
from wirecheck.run.request import Request, RequestError
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.redact import redact
from wirecheck.snapshot.redact_text import RedactionError
from wirecheck.text import plural

PATH = click.Path(path_type=Path)


@click.command("redact")
@click.argument("snapshot", type=PATH)
@click.argument("folder", type=PATH)
@click.option("--dictionary", type=PATH, help="Write there what was replaced by what; keep it.")
def redact_snapshot(snapshot: Path, folder: Path, dictionary: Path | None) -> None:
    """Copy a snapshot with other names, addresses and images, to send it to someone else.

    It gives the same verdicts. Look through it before you send it.
    """
    if dictionary is not None and dictionary.absolute().is_relative_to(folder.absolute()):
        raise RequestError("The dictionary would be sent along; name a file outside the folder.")
    try:
        replaced = redact(Snapshot.open(snapshot), folder, OBJECT_NAMES)
    except RedactionError as error:
        raise RequestError(str(error)) from error
    if dictionary is not None:
        _write_privately(dictionary, msgspec.json.format(msgspec.json.encode(replaced), indent=1))
    click.echo(
        f"{folder}: {plural(len(replaced.nodes), 'node')}, {plural(len(replaced.names), 'name')} "
        f"and {plural(len(replaced.addresses), 'address', 'addresses')} replaced."
    )


def _write_privately(file: Path, raw: bytes) -> None:
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(opened, "wb") as stream:
            stream.write(raw)
    except OSError as error:
        raise RequestError(f"{file} cannot be written: {error.strerror}.") from None


@click.command("record")
@click.argument("folder", type=PATH)
@click.option("--inventory", "-i", type=PATH, help="Ways into nodes.")
@click.option("--kubeconfig", type=PATH, help="Else the inventory's, $KUBECONFIG, …")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@click.option(
    "--looks",
    type=click.IntRange(1, 6),
    default=1,
    show_default=True,
    help="So many looks at every node; a run looks up to three times where something is wrong.",
)
@click.option("--pause", type=click.FloatRange(0, 3600), default=30, show_default=True)
def record_snapshot(folder: Path, *, looks: int, pause: float, **cluster: Any) -> int:
    """Look at a cluster and keep what is seen in FOLDER, without judging it."""
    run = LiveRun.open(Request(**cluster))
    progress = ConsoleProgress()
    run.introduce(progress)
    snapshot = run.look_only(run.node_names, folder, progress, [pause] * (looks - 1))
    seen = snapshot.node_names()
    click.echo(
        f"{folder}: {len(seen):,} of {plural(len(run.node_names), 'node')} seen, "
        f"{plural(len(snapshot.index.looks), 'look')}. Judge it with "
        f"`wirecheck run --snapshot {folder}`."
    )
    return HEALTHY if len(seen) == len(run.node_names) and not run.interrupted else INCOMPLETE
