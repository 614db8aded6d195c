"""`python -m testbed.record`: record the clusters that ship with the package.

One healthy, and one with several faults at once, each as real as in the fault matrix.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from testbed.faults.fault import load_faults
from testbed.faults.prove import Prover

RECORDED = Path(__file__).parent.parent / "wirecheck" / "recorded"
BROKEN = (
    "pod-without-address",
    "backend-to-dead-address",
    "wrong-resolv-conf",
    "orphan-pair",
    "service-rule-deleted",
)


@click.command()
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Record the clusters NAMES, by default `healthy` and `broken`."""
    prover = Prover()
    for name in names or ("healthy", "broken"):
        faults = [fault for fault in load_faults() if name == "broken" and fault.name in BROKEN]
        injected = []
        try:
            for fault in faults:
                injected.append((fault, prover.inject(fault)))
            seen = prover.look_in_detail(f"record-{name}")
        finally:
            problems = [prover.undo(fault, values) for fault, values in reversed(injected)]
        if any(problems):
            raise click.ClickException("; ".join(filter(None, problems)))
        if bool(seen.red) != bool(faults):
            raise click.ClickException(f"the {name} cluster was not as it should be: {seen.red}")
        shutil.rmtree(RECORDED / name, ignore_errors=True)
        shutil.copytree(seen.folder / "snapshot", RECORDED / name)
        click.echo(f"recorded {name}: {len(seen.red)} red items")


if __name__ == "__main__":
    main()
