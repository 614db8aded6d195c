"""A proof as a command: what is wrong, a line each, one sentence, and the status that says so."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import click

from testbed.commands import TestbedError

LONGEST = 600
"""Characters of one line: some quote a whole log."""


def conclude(prove: Callable[[], Sequence[str]], holds: str, fails: str) -> NoReturn:
    """Prove it, say what is wrong and whether it holds, and exit: 1 where it does not."""
    began = time.monotonic()
    try:
        wrong = prove()
    except TestbedError as error:
        raise click.ClickException(str(error)) from None
    for each in wrong:
        click.echo(f"WRONG  {each}"[:LONGEST])
    click.echo(f"{fails if wrong else holds} ({time.monotonic() - began:.0f} s)")
    sys.exit(1 if wrong else 0)
