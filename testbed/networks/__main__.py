"""`python -m testbed.networks [NAME …]`: proves each pod network in a cluster of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import click

from testbed.commands import TestbedError
from testbed.faults.options import MARKDOWN, REST
from testbed.file_layout import K3S, KUBEADM, FileLayout, file_layout_named
from testbed.layout_option import LAYOUT
from testbed.networks.page import into_page
from testbed.networks.pod_network import names, network_named
from testbed.networks.proof import prove


@click.command()
@click.argument("chosen", metavar="[NAME]...", nargs=-1, type=click.Choice(names()))
@click.option("--dual-stack", is_flag=True, help="With both IP families.")
@LAYOUT
@click.option("--faults/--no-faults", default=True, show_default=True, help="Also its faults.")
@REST
@MARKDOWN
def main(
    *,
    chosen: tuple[str, ...],
    dual_stack: bool,
    layout: str,
    faults: bool,
    rest: bool,
    markdown: str | None,
) -> None:
    """Prove each network, all of them by default; the cluster is taken down after each."""
    failed = []
    for name, files in shapes(chosen, file_layout_named(layout)):
        try:
            network = network_named(name)
            proven = prove(
                network, dual_stack=dual_stack, with_faults=faults, rests=rest, files=files
            )
        except TestbedError as error:
            raise click.ClickException(str(error)) from None
        for each in proven.wrong:
            click.echo(f"WRONG  {each}")
        click.echo(f"{proven.title}: {'NOT ' if proven.wrong else ''}as it should be")
        if proven.wrong:
            failed.append(proven.title)
        if markdown:
            into_page(Path(markdown), proven, date.today().isoformat())
    click.echo(f"not as they should be: {', '.join(failed)}" if failed else "all as they should be")
    sys.exit(1 if failed else 0)


def shapes(chosen: Sequence[str], files: FileLayout) -> list[tuple[str, FileLayout]]:
    """Each network to prove, with its layout of files; without a choice all, and that of k3s."""
    if chosen:
        return [(name, files) for name in chosen]
    if files is not KUBEADM:
        return [(name, files) for name in names() if network_named(name).k3s]
    return [*((name, KUBEADM) for name in names()), ("kube-router", K3S)]


if __name__ == "__main__":
    main()
