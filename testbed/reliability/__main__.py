"""`python -m testbed.reliability [NAME …]`: faults in the looking, on the real cluster."""

from __future__ import annotations

import sys
import time

import click

from testbed.commands import TestbedError
from testbed.reliability import of_helper_pods, of_the_api, of_the_nodes
from testbed.reliability.scenario import Scenario
from testbed.state import state

SCENARIOS = (*of_the_api.SCENARIOS, *of_the_nodes.SCENARIOS, *of_helper_pods.SCENARIOS)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--list", "listing", is_flag=True, help="Only say what there is.")
def main(names: tuple[str, ...], listing: bool) -> None:
    """Prove that each fault has its one outcome, and leaves the cluster healthy."""
    unknown = set(names) - {each.name for each in SCENARIOS}
    if unknown:
        raise click.UsageError(f"no such scenario: {', '.join(sorted(unknown))}")
    chosen = [each for each in SCENARIOS if each.name in names or not names]
    if listing:
        for each in chosen:
            click.echo(f"{each.name:24} {each.sentence}")
        return
    try:
        state().running()
    except TestbedError as error:
        raise click.ClickException(str(error)) from None
    failed = sum(not _proven(each) for each in chosen)
    click.echo(f"{len(chosen) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def _proven(scenario: Scenario) -> bool:
    began = time.monotonic()
    try:
        wrong = scenario.prove()
    except TestbedError as error:
        wrong = [str(error)]
    seconds = time.monotonic() - began
    click.echo(f"{'WRONG' if wrong else 'ok':6} {scenario.name} ({seconds:.0f} s)")
    for each in wrong:
        click.echo(f"         {each}")
    return not wrong


if __name__ == "__main__":
    main()
