"""`wirecheck init`: writes a first inventory."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from wirecheck.cli.parameter_types import PATH
from wirecheck.cli.shared_options import CONTEXT, KUBECONFIG
from wirecheck.results.exit_statuses import HEALTHY, INCOMPLETE
from wirecheck.text import plural


@click.command("init")
@click.argument("file", type=PATH, default=Path("inventory.yaml"))
@KUBECONFIG
@CONTEXT
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def init(file: Path, *, force: bool, **cluster: Any) -> int:
    """Write an inventory to FILE, with the access methods that reach the nodes.

    It tries containers of this machine, this machine itself, agents that are deployed, and ssh as
    root or with sudo, on up to three nodes. ssh uses your configuration and asks no question. The
    exit status is 2 if some nodes have no access yet: the file says why.
    """
    from wirecheck.cli.console import ConsoleProgress
    from wirecheck.run.first_inventory import first_inventory
    from wirecheck.run.request import Request, RequestError
    from wirecheck.whole_file import refuse_unwritable, write_whole

    if file.is_file() and not force:
        raise RequestError(f"{file} exists; name another file, or add --force to replace it.")
    try:
        refuse_unwritable(file)
        made = first_inventory(Request(**cluster), ConsoleProgress())
        write_whole(file, made.text)
    except OSError as error:
        raise RequestError(f"{file} cannot be written: {error.strerror}.") from None
    for reason in made.reasons:
        click.echo(f"not reached by {reason}", err=True)
    doctor = shlex.join(["wirecheck", "doctor", "--inventory", str(file)])
    if made.left:
        click.echo(f"{file}: no access yet to {plural(len(made.left), 'node')}; edit the entries.")
    else:
        click.echo(f"{file}: access to every node. `{doctor}` visits them all.")
    return INCOMPLETE if made.left else HEALTHY
