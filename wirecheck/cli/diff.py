"""`wirecheck diff`: two runs side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from wirecheck.catalogue.registry import UNREACHABLE
from wirecheck.cli.console import ConsoleProgress
from wirecheck.evaluation.verdict import FailOn, exit_status
from wirecheck.report.comparison import past_sentence
from wirecheck.report.sentences import cluster_sentence, object_name
from wirecheck.results.comparison import ComparedItems, compared
from wirecheck.results.records import PastFinding
from wirecheck.run.baseline import Baseline, read_baseline
from wirecheck.run.cluster_changes import ClusterChange, changes_between
from wirecheck.snapshot.folder import INDEX, Snapshot
from wirecheck.text import moment, plural

MOST = 50
RUN = click.Path(path_type=Path)
Say = Callable[[str], None]


class Told(msgspec.Struct, frozen=True):
    """What `-o json` prints."""

    before: str
    now: str
    new: list[PastFinding]
    known: list[PastFinding]
    fixed: list[PastFinding]
    unseen: list[PastFinding]
    changes: list[ClusterChange]


@click.command()
@click.argument("before", type=RUN)
@click.argument("now", type=RUN)
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
@click.option("--fail-on", type=click.Choice(["fail", "warn", "never"]), default="fail")
def diff(before: Path, now: Path, output: str, fail_on: FailOn) -> int:
    """Compare two runs: what is new, still there, fixed; and what changed in the cluster.

    Each is a results.jsonl, the folder of a run, or a snapshot. The exit status is that of the
    later run held against the earlier one.
    """
    first, second = read_baseline(before), read_baseline(now)
    ids = {check.id for check in second.results.started.checks}
    found = compared(first.results.items, second.results.items, ids)
    seen = snapshot_of(second)
    changes = changes_between(first.results, second.results, snapshot_of(first), seen)
    told = _told(first, second, found, changes)
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(told), indent=1).decode())
    else:
        _print(first, second, told)
    return exit_status(
        found.items,
        fail_on,
        interrupted=second.results.ended.interrupted,
        unreachable=seen.index.thresholds.get(UNREACHABLE, 0) if seen else 0,
    )


def snapshot_of(run: Baseline) -> Snapshot | None:
    """What the run saw, where it is kept beside its results."""
    path = Path(run.source)
    for folder in (path, path.parent / "snapshot"):
        if (folder / INDEX).is_file():
            snapshot = Snapshot.open(folder)
            return snapshot if snapshot.index.looks else None
    return None


def _told(
    first: Baseline, second: Baseline, found: ComparedItems, changes: list[ClusterChange]
) -> Told:
    there = [
        PastFinding(item.check, finding, item.node)
        for item in found.items
        for finding in item.findings
    ]
    return Told(
        before=first.source,
        now=second.source,
        new=[each for each in there if each.finding.standing == "new"],
        known=[each for each in there if each.finding.standing == "known"],
        fixed=found.fixed,
        unseen=found.unseen,
        changes=changes,
    )


def _print(first: Baseline, second: Baseline, told: Told) -> None:
    """On standard output, harmless whatever names a cluster has."""
    say = ConsoleProgress(stderr=False).say
    for head, run in (("before", first), ("now   ", second)):
        started = run.results.started
        say(f"{head}  {cluster_sentence(started.cluster)}, {moment(started.time)}, {run.source}")
    _part(say, "Changed in the cluster", [str(change) for change in told.changes])
    _part(say, "New", [_there(each) for each in told.new])
    _part(say, "Still there", [_there(each) for each in told.known])
    _part(say, "Fixed", [past_sentence(each) for each in told.fixed])
    _part(say, "Not checked again", [past_sentence(each) for each in told.unseen])
    parts = (
        f"{len(told.new):,} new",
        f"{len(told.known):,} still there",
        f"{len(told.fixed):,} fixed",
        f"{len(told.unseen):,} not checked again",
        plural(len(told.changes), "change") + " in the cluster",
    )
    say(f"\n{', '.join(parts)}.")


def _part(say: Say, title: str, lines: list[str]) -> None:
    if not lines:
        return
    say(f"\n{title}")
    for line in lines[:MOST]:
        say(f"  {' '.join(line.split())}")
    if lines[MOST:]:
        say(f"  … and {len(lines) - MOST:,} more; -o json has all.")


def _there(each: PastFinding) -> str:
    where = f" on {each.node}" if each.node else ""
    finding = each.finding
    return (
        f"{finding.level} {each.check}{where}: {object_name(finding)}: expected "
        f"{finding.expected}; found {finding.found}"
    )
