"""A whole run against Kubernetes' own networking tests ("Granular Checks"), on the test cluster.

They prove with pods of their own, one after the other, that pods, nodes and Services reach each
other; wirecheck reads what is there, and finds beside that which part is wrong.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import click

from benchmarks.dns_from_all_pods import Measured, whole_run
from testbed import networking_tests
from testbed.cluster import kubectl
from testbed.state import state


@click.command()
@click.option("--focus", default="Granular Checks", show_default=True, help="Which tests.")
@click.option("--runs", default=5, show_default=True, help="Of wirecheck.")
@click.option("--limit", default=3_600.0, show_default=True, help="Seconds for the tests.")
def main(focus: str, runs: int, limit: float) -> None:
    """Print both sides, and how much longer one takes."""
    here = state()
    program = networking_tests.build(here)
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    networking_tests.bring_image(program, [node["metadata"]["name"] for node in nodes], here)
    wholes = Measured("wirecheck run: everything", tuple(whole_run()[1] for _ in range(runs)))
    report = here.root / "benchmarks" / "networking-tests.json"
    passed = networking_tests.run_tests(program, here, focus, report, limit)
    seconds = seconds_of(report)
    click.echo(wholes)
    for name, each in sorted(seconds.items()):
        click.echo(f"  {each:7.1f} s  {name}")
    click.echo(f"{len(seconds)} tests, {'all' if passed else 'NOT ALL'} passed")
    click.echo(f"tests / wirecheck run: {sum(seconds.values()) / median(wholes.seconds):.0f}")


def seconds_of(report: Path) -> dict[str, float]:
    """How long each test took that ran, by its name."""
    (suite,) = json.loads(report.read_text())
    return {
        " ".join([*each["ContainerHierarchyTexts"], each["LeafNodeText"]]): each["RunTime"] / 1e9
        for each in suite["SpecReports"]
        if each["LeafNodeType"] == "It" and each["State"] != "skipped"
    }


if __name__ == "__main__":
    main()
