"""`python -m testbed.faults [--smoke] [NAME …]`: put each fault in, look, take it out, compare."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import click

from testbed.faults.fault import Fault, load_faults
from testbed.faults.matrix import as_text, counted, into_page, times
from testbed.faults.options import MARKDOWN, REST
from testbed.faults.prove import Prover
from testbed.file_layout import KUBEADM
from testbed.networks.pod_network import DEFAULT
from testbed.state import state


@click.command()
@click.argument("names", nargs=-1)
@click.option("--smoke", is_flag=True, help="One fault of each group, as CI runs them.")
@click.option("--vm", is_flag=True, help="Also the faults that need the virtual machine.")
@click.option("--tries", default=1, help="Put a fault in once more that was not exact.")
@REST
@MARKDOWN
def main(
    *,
    names: tuple[str, ...],
    smoke: bool,
    vm: bool,
    tries: int,
    rest: bool,
    markdown: str | None,
) -> None:
    """Prove that each fault gives exactly its own set of red checks, and none afterwards.

    Faults in the rules of one kube-proxy mode need a cluster in that mode.
    """
    prover = Prover(rests=rest)
    rows = []
    for fault in _chosen(load_faults(), names, smoke=smoke, vm=vm):
        for _ in range(tries):
            row = prover.prove(fault)
            click.echo(as_text(row))
            if row.is_exact:
                break
        rows.append(row)
    if markdown:
        order = [fault.name for fault in load_faults()]
        into_page(Path(markdown), rows, order, date.today().isoformat())
    click.echo(times(rows))
    click.echo(counted(rows))
    sys.exit(0 if rows and all(row.is_exact for row in rows) else 1)


def _chosen(faults: list[Fault], names: tuple[str, ...], *, smoke: bool, vm: bool) -> list[Fault]:
    record = state().record()
    mode = record.proxy_mode if record else "iptables"
    network = record.network if record else DEFAULT
    layout = record.layout if record else KUBEADM.name
    faults = [
        each
        for each in faults
        if each.proxy_mode == mode and network in each.networks and layout in each.layouts
    ]
    unknown = set(names) - {fault.name for fault in faults}
    if unknown:
        raise click.UsageError(
            f"no such fault in {mode} mode on the network {network}: {', '.join(sorted(unknown))}"
        )
    return [
        fault
        for fault in faults
        if (fault.name in names if names else (fault.smoke or not smoke) and (vm or not fault.vm))
    ]


if __name__ == "__main__":
    main()
