"""The command line: `python -m testbed up`, `down`, `status`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

import click

from testbed import bring_up
from testbed.bring_up import Shape
from testbed.commands import StoppedByUserError, TestbedError, stop_all
from testbed.file_layout import KUBEADM, file_layout_named
from testbed.layout_option import LAYOUT
from testbed.networks.pod_network import DEFAULT, names, network_named
from testbed.state import state

MODES = ("iptables", "nftables")


@click.group()
def main() -> None:
    """A real Kubernetes cluster on this machine."""


@main.command()
@click.option("--proxy-mode", type=click.Choice(MODES), default=MODES[0], show_default=True)
@click.option("--vm", is_flag=True, help="Add a virtual machine node, whose kube-proxy is IPVS.")
@click.option("--dual-stack", is_flag=True, help="Nodes, pods and Services of both IP families.")
@click.option(
    "--network",
    "name",
    type=click.Choice(names()),
    default=DEFAULT,
    show_default=True,
    help="The pod network.",
)
@LAYOUT
def up(proxy_mode: str, vm: bool, dual_stack: bool, name: str, layout: str) -> None:
    """Start the cluster, or find it running."""
    network = network_named(name)
    if vm and dual_stack:
        raise click.UsageError("the virtual machine has one IP family: leave one of the two out")
    if vm and not network.virtual_machine:
        raise click.UsageError(
            f"the virtual machine has no part in the network {name}: leave one of the two out"
        )
    if proxy_mode != MODES[0] and not network.kube_proxy:
        raise click.UsageError(
            f"the network {name} has no kube-proxy: leave one of the two options out"
        )
    files = file_layout_named(layout)
    if files is not KUBEADM and (vm or dual_stack or not network.k3s):
        raise click.UsageError(
            f"the layout {layout} has one IP family, no virtual machine, and a network out of "
            f"{', '.join(each for each in names() if network_named(each).k3s)}"
        )
    _guarded(lambda: bring_up.up(state(), Shape(proxy_mode, dual_stack, network, files), vm))


@main.command()
def down() -> None:
    """Remove the cluster; what was built for it stays in the cache."""
    _guarded(lambda: bring_up.down(state()))


@main.command()
def status() -> None:
    """Say what runs, and what it lacks."""
    _guarded(lambda: bring_up.status(state()))


def _guarded(do: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    try:
        do()
    except StoppedByUserError:
        click.echo("testbed: interrupted", err=True)
        sys.exit(130)
    except TestbedError as error:
        click.echo(f"testbed: {error}", err=True)
        sys.exit(1)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    # What runs ends, and no further program is started: that ends whatever is being done.
    stop_all()
