"""One line for each step, with the seconds that it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step, and say how long it took once it is done."""
    began = time.monotonic()
    click.echo(f"  {title} ...", nl=False)
    try:
        yield
    except BaseException:
        click.echo(f" failed after {time.monotonic() - began:.1f} s")
        raise
    click.echo(f" {time.monotonic() - began:.1f} s")
