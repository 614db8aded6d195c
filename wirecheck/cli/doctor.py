"""`wirecheck doctor`."""

from __future__ import annotations

from typing import Any

import click

from wirecheck.cli.json_text import json_text
from wirecheck.cli.shared_options import TEXT_OR_JSON, cluster_options, verbosity_options


@click.command()
@TEXT_OR_JSON
@cluster_options
@verbosity_options
def doctor(*, output: str, verbosity: int, **cluster: Any) -> int:
    """Show whether the cluster can be checked: API access, access to the nodes, missing tools.

    It visits every node once and evaluates no checks.
    """
    from wirecheck.cli.console import ConsoleProgress
    from wirecheck.run.doctor import examine
    from wirecheck.run.request import Request

    examination = examine(Request(**cluster), ConsoleProgress(verbosity=verbosity))
    if output == "json":
        click.echo(json_text(examination))
        return examination.status
    shown = ConsoleProgress(stderr=False)
    for remark in examination.remarks:
        shown.say(str(remark))
    return examination.status
