"""The command line: `python -m testbed up`, `down`, `status`."""

from __future__ import annotations

import click

from testbed import bring_up
from testbed.commands import TestbedError
from testbed.state import state

MODES = ("iptables", "nftables")


@click.group()
def main() -> None:
    """A real Kubernetes cluster on this machine."""


@main.command()
@click.option("--proxy-mode", type=click.Choice(MODES), default=MODES[0], show_default=True)
@click.option("--vm", is_flag=True, help="Add a virtual machine node, whose kube-proxy is IPVS.")
def up(proxy_mode: str, vm: bool) -> None:
    """Start the cluster, or find it running."""
    bring_up.up(state(), proxy_mode, vm)
