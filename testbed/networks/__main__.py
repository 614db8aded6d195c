"""`python -m testbed.networks [NAME …]`: proves each pod network in a cluster of its own."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import click

from testbed.commands import TestbedError
from testbed.faults.options import MARKDOWN, REST
from testbed.networks.page import into_page
from testbed.networks.pod_network import names, network_named
from testbed.networks.proof import prove


@click.command()
@click.argument("chosen", metavar="[NAME]...", nargs=-1, type=click.Choice(names()))
@click.option("--dual-stack", is_flag=True, help="With both IP families.")
@click.option("--faults/--no-faults", default=True, show_default=True, help="Also its faults.")
@REST
@MARKDOWN
def main(
    *, chosen: tuple[str, ...], dual_stack: bool, faults: bool, rest: bool, markdown: str | None
) -> None:
    """Prove each network, all of them by default; the cluster is taken down after each."""
    failed = []
    for name in chosen or names():
        try:
            network = network_named(name)
            proven = prove(network, dual_stack=dual_stack, with_faults=faults, rests=rest)
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


if __name__ == "__main__":
    main()
