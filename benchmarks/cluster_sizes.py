"""Evaluates snapshots of clusters of several sizes, with all checks and all reports.

Each is grown from the recorded cluster (`synthetic`) and evaluated by `wirecheck run --snapshot`
in a process of its own, as a user would.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import service_rules, synthetic
from benchmarks.recorded_worker import Recorded
from benchmarks.synthetic_objects import PODS
from wirecheck.results.jsonl import read_results


@click.command()
@click.option("--services", default=100, show_default=True, help="As many have rules on each node.")
@click.option("--nodes", default="100,300,1000,3000", show_default=True)
@click.option("--plain", is_flag=True, help="Rules as the tools print them, not in blocks.")
def main(services: int, nodes: str, plain: bool) -> None:
    """Print seconds, memory and the report's size for each number of nodes."""
    rules = service_rules.seen("iptables", services, anew=False)
    of = Recorded.with_rules(rules)
    click.echo(f"{PODS} pods a node, {services:,} Services; in all (for each node)")
    for count in map(int, nodes.split(",")):
        with tempfile.TemporaryDirectory(dir=service_rules.kept()) as folder:
            synthetic.write_snapshot(
                Path(folder) / "snapshot", of, count, services, in_blocks=not plain
            )
            click.echo(f"  {evaluated(Path(folder), count)}")


@dataclass(frozen=True)
class Cost:
    """What it cost to evaluate one snapshot."""

    nodes: int
    seconds: float
    cpu: float
    peak: int
    page: int
    """Bytes of report.html."""
    items: int
    red: int

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.nodes:,} nodes: {self.seconds:.1f} s, {self.cpu:.1f} s of CPU "
            f"({1000 * self.cpu / self.nodes:.0f} ms), peak {self.peak / 1e6:.0f} MB, "
            f"report.html {self.page / 1e6:.2f} MB; {self.items:,} items, {self.red:,} of them red"
        )


def evaluated(folder: Path, nodes: int) -> Cost:
    """Evaluate the snapshot in the folder."""
    reports = folder / "reports"
    command = [sys.executable, "-m", "wirecheck", "run", "--snapshot", str(folder / "snapshot")]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--report-dir", str(reports)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, _, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    (results,) = reports.glob("*/results.jsonl")
    items = read_results(results).items
    return Cost(
        nodes,
        seconds,
        used.ru_utime + used.ru_stime,
        used.ru_maxrss * 1024,
        results.with_name("report.html").stat().st_size,
        len(items),
        sum(each.outcome in ("fail", "error") for each in items),
    )


if __name__ == "__main__":
    main()
