"""`wirecheck snapshot`: takes, shows and redacts snapshots."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from wirecheck.cli.json_text import json_text
from wirecheck.cli.parameter_types import PATH
from wirecheck.cli.renamed_options import RenamedOptions
from wirecheck.cli.shared_options import CONTEXT, KUBECONFIG, verbosity_options
from wirecheck.results.exit_statuses import HEALTHY, INCOMPLETE
from wirecheck.text import plural


@click.group("snapshot")
def snapshots() -> None:
    """Take, show and redact snapshots: what a run saw."""


@snapshots.command("redact")
@click.argument("snapshot", type=PATH)
@click.argument("folder", type=PATH)
@click.option(
    "--dictionary", type=PATH, help="Write the mapping of replaced names to this file; keep it."
)
@click.option(
    "--replace",
    "forced",
    multiple=True,
    metavar="WORD",
    help="Replace this word too, although wirecheck knows it; repeatable.",
)
def redact_snapshot(
    snapshot: Path, folder: Path, dictionary: Path | None, forced: Sequence[str]
) -> None:
    """Copy a snapshot to FOLDER with other names, addresses and words, to send it to someone.

    Every word that wirecheck does not know itself is replaced.

    The copy gives the same verdicts. Read it before you send it.
    """
    from wirecheck.network.registry import PLUGIN_NAMES
    from wirecheck.run.request import RequestError
    from wirecheck.snapshot.folder import Snapshot
    from wirecheck.snapshot.redact import redact
    from wirecheck.snapshot.redact_text import RedactionError
    from wirecheck.whole_file import PRIVATE, refuse_unwritable, write_whole

    if dictionary is not None and dictionary.absolute().is_relative_to(folder.absolute()):
        raise RequestError(
            "The dictionary would be sent along with the snapshot. Name a file outside the folder."
        )
    if dictionary is not None:
        with _as_request_error(dictionary):
            refuse_unwritable(dictionary)
    try:
        replaced = redact(Snapshot.open(snapshot), folder, PLUGIN_NAMES, forced=forced)
    except RedactionError as error:
        raise RequestError(str(error)) from error
    if dictionary is not None:
        with _as_request_error(dictionary):
            write_whole(dictionary, json_text(replaced), PRIVATE)
    click.echo(
        f"{folder}: {plural(len(replaced.nodes), 'node')}, {plural(len(replaced.names), 'name')} "
        f"and {plural(len(replaced.addresses), 'address', 'addresses')} replaced."
    )


@contextmanager
def _as_request_error(file: Path) -> Iterator[None]:
    from wirecheck.run.request import RequestError

    try:
        yield
    except OSError as error:
        raise RequestError(f"{file} cannot be written: {error.strerror}.") from None


@snapshots.command("record", cls=RenamedOptions)
@click.argument("folder", type=PATH)
@click.option("--inventory", "-i", type=PATH, help="Access to the nodes.")
@KUBECONFIG
@CONTEXT
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
@verbosity_options
def record_snapshot(
    *, folder: Path, rounds: int, pause: float, verbosity: int, **cluster: Any
) -> int:
    """Collect what a run would see into FOLDER, without evaluating it."""
    from wirecheck.cli.console import ConsoleProgress
    from wirecheck.run.request import Request
    from wirecheck.run.session import Session
    from wirecheck.snapshot.folder import refuse_occupied

    refuse_occupied(folder)
    session = Session.open(Request(**cluster), progress := ConsoleProgress(verbosity=verbosity))
    source = session.source
    source.introduce(progress)
    snapshot = session.see(folder, pauses=[pause] * (rounds - 1))
    seen, nodes = snapshot.node_names(), source.node_names
    click.echo(
        f"{folder}: {len(seen):,} of {plural(len(nodes), 'node')} seen, "
        f"{plural(len(snapshot.index.looks), 'round')}. Evaluate it with "
        f"`{shlex.join(['wirecheck', 'run', '--snapshot', str(folder)])}`."
    )
    return HEALTHY if len(seen) == len(nodes) and not session.interrupted else INCOMPLETE


@snapshots.command("show")
@click.argument("folder", type=PATH)
def show_snapshot(folder: Path) -> None:
    """Show which cluster a snapshot is of, when it was taken, and what was seen."""
    from wirecheck.cli.console import ConsoleProgress
    from wirecheck.inspect.snapshot_summary import summary
    from wirecheck.snapshot.folder import Snapshot

    progress = ConsoleProgress(stderr=False)
    for line in summary(Snapshot.open(folder)):
        progress.say(line)
