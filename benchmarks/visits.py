"""Visiting 300 nodes over ssh: one command each, against a testinfra suite with one a fact.

Both sides run on this machine, in a netns, mount and pid namespace that are made for it: an
sshd out of the test cluster's node image answers at as many addresses of the loopback device as
there are nodes. All of it ends with the benchmark.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import click

from testbed.state import state

MODULE = "benchmarks.many_hosts"
ALONE = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc")
LIMIT = 1_200.0
"""Seconds for each side."""


@dataclass(frozen=True)
class Side:
    """What one side cost."""

    name: str
    nodes: int
    commands: float
    """A node."""
    seconds: float
    bytes: int = 0

    @property
    def each(self) -> float:
        """Seconds for a node."""
        return self.seconds / self.nodes

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.name:48} {self.nodes:4} nodes, {self.commands:5.1f} commands each: "
            f"{self.seconds:7.1f} s ({1000 * self.each:.0f} ms a node)"
        )


@click.command()
@click.option("--nodes", default=300, show_default=True)
@click.option("--suite-nodes", default=30, show_default=True, help="As many for the suite.")
@click.option("--workers", default=32, show_default=True, help="wirecheck's concurrent visits.")
@click.option("--processes", default=2, show_default=True, help="The suite's (pytest -n).")
def main(nodes: int, suite_nodes: int, workers: int, processes: int) -> None:
    """Print both sides, and how much longer one takes for a node."""
    if not (state().rootfs / "usr/sbin/sshd").exists():
        raise click.ClickException("the node image is missing: python -m testbed up builds it")
    asked = [str(each) for each in (nodes, suite_nodes, workers, processes)]
    command = [*ALONE, sys.executable, "-m", MODULE, str(state().rootfs), *asked]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=2 * LIMIT + 60)
    whole, suite = (Side(**each) for each in json.loads(done.stdout))
    click.echo(f"{whole}, {whole.bytes / 1e3:.0f} kB of facts")
    click.echo(suite)
    click.echo(f"suite / wirecheck, seconds for a node: {suite.each / whole.each:.1f}")


if __name__ == "__main__":
    main()
