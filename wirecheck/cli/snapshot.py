"""`wirecheck snapshot redact` and `wirecheck snapshot record`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from wirecheck.cli.console import ConsoleProgress
from wirecheck.cli.parameter_types import PATH
from wirecheck.cli.renamed_options import RenamedOptions
from wirecheck.evaluation.verdict import HEALTHY, INCOMPLETE
from wirecheck.network.registry import PLUGIN_NAMES
from wirecheck.run.request import Request, RequestError
from wirecheck.run.session import Session
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.redact import redact
from wirecheck.snapshot.redact_text import RedactionError
from wirecheck.text import plural


@click.command("redact")
@click.argument("snapshot", type=PATH)
@click.argument("folder", type=PATH)
@click.option(
    "--dictionary", type=PATH, help="Write the mapping of replaced names to this file; keep it."
)
def redact_snapshot(snapshot: Path, folder: Path, dictionary: Path | None) -> None:
    """Copy a snapshot to FOLDER with other names, addresses and images, to send it to someone.

    The copy gives the same verdicts. Read it before you send it.
    """
    if dictionary is not None and dictionary.absolute().is_relative_to(folder.absolute()):
        raise RequestError(
            "The dictionary would be sent along with the snapshot. Name a file outside the folder."
        )
    try:
        replaced = redact(Snapshot.open(snapshot), folder, PLUGIN_NAMES)
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


@click.command("record", cls=RenamedOptions)
@click.argument("folder", type=PATH)
@click.option("--inventory", "-i", type=PATH, help="Access to the nodes.")
@click.option("--kubeconfig", type=PATH, help="Default: the inventory's, then $KUBECONFIG.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@click.option(
    "--rounds",
    type=click.IntRange(1, 6),
    default=1,
    show_default=True,
    help="Number of rounds. A run takes up to three if something fails.",
)
@click.option(
    "--pause",
    type=click.FloatRange(0, 3600),
    default=30,
    show_default=True,
    help="Seconds between two rounds.",
)
def record_snapshot(folder: Path, *, rounds: int, pause: float, **cluster: Any) -> int:
    """Collect what a run would see into FOLDER, without evaluating it."""
    session = Session.open(Request(**cluster), progress := ConsoleProgress())
    source = session.source
    source.introduce(progress)
    snapshot = session.see(folder, pauses=[pause] * (rounds - 1))
    seen, nodes = snapshot.node_names(), source.node_names
    click.echo(
        f"{folder}: {len(seen):,} of {plural(len(nodes), 'node')} seen, "
        f"{plural(len(snapshot.index.looks), 'round')}. Evaluate it with "
        f"`wirecheck run --snapshot {folder}`."
    )
    return HEALTHY if len(seen) == len(nodes) and not session.interrupted else INCOMPLETE
