"""What `wirecheck diff` prints of two runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from wirecheck.catalogue.registry import UNREACHABLE
from wirecheck.cli.console import ConsoleProgress
from wirecheck.cli.json_text import json_text
from wirecheck.cli.page_output import PageOutput
from wirecheck.evaluation.verdict import FailOn, exit_status
from wirecheck.report import diff_page
from wirecheck.report.comparison import past_sentence
from wirecheck.report.sentences import cluster_sentence, object_name
from wirecheck.results.comparison import ComparedItems, compared, root_causes_first
from wirecheck.results.records import PastFinding
from wirecheck.run.baseline import Baseline, read_baseline, selection_of
from wirecheck.run.cluster_changes import ClusterChange, changes_between
from wirecheck.run.request import RequestError
from wirecheck.snapshot.folder import INDEX, Snapshot
from wirecheck.text import moment, plural

MOST = 50
Say = Callable[[str], None]


class RunDiff(msgspec.Struct, frozen=True):
    """What `-o json` prints."""

    before: str
    now: str
    new: list[PastFinding]
    known: list[PastFinding]
    fixed: list[PastFinding]
    unseen: list[PastFinding]
    changes: list[ClusterChange]


@dataclass(frozen=True, slots=True)
class ComparedRuns:
    """Two runs, and what differs."""

    first: Baseline
    second: Baseline
    items: ComparedItems
    seen: Snapshot | None
    """What the later run saw."""
    difference: RunDiff


def compared_runs(before: Path, now: Path) -> ComparedRuns:
    """Read and compare two runs. Raises RequestError or SnapshotError."""
    first, second = read_baseline(before), read_baseline(now)
    _refuse_other_parts(first, second)
    ids = {check.id for check in second.results.started.checks}
    found = compared(first.results.items, second.results.items, ids)
    seen = snapshot_of(second)
    changes = changes_between(first.results, second.results, snapshot_of(first), seen)
    difference = _run_diff(first, second, found, changes)
    return ComparedRuns(first, second, found, seen, difference)


def compare(before: Path, now: Path, output: PageOutput, fail_on: FailOn) -> int:
    """Show the difference; return the exit status. Raises RequestError or SnapshotError."""
    runs = compared_runs(before, now)
    first, second, seen, difference = runs.first, runs.second, runs.seen, runs.difference
    if output.format == "json":
        output.put(json_text(difference))
    elif output.format == "html":
        output.put(_page(first, second, difference))
    else:
        _print(first, second, difference)
    return exit_status(
        runs.items.items,
        fail_on,
        interrupted=second.results.ended.interrupted,
        unreachable=seen.index.thresholds.get(UNREACHABLE, 0) if seen else 0,
    )


def _refuse_other_parts(first: Baseline, second: Baseline) -> None:
    """Raise RequestError for runs of different parts: what only one of them saw looks fixed."""
    one, other = (selection_of(each.results.started) for each in (first, second))
    if one != other:
        raise RequestError(
            f"{first.source} checked {one.globs or 'everything'}, and {second.source} "
            f"{other.globs or 'everything'}. Compare runs with the same --node and --namespace."
        )


def snapshot_of(run: Baseline) -> Snapshot | None:
    """What the run saw; None if it is not kept beside the results."""
    path = Path(run.source)
    for folder in (path, path.parent / "snapshot"):
        if (folder / INDEX).is_file():
            snapshot = Snapshot.open(folder)
            return snapshot if snapshot.index.looks else None
    return None


def _run_diff(
    first: Baseline, second: Baseline, found: ComparedItems, changes: list[ClusterChange]
) -> RunDiff:
    present = root_causes_first(
        (
            PastFinding(item.check, finding, item.node)
            for item in found.items
            for finding in item.findings
        ),
        found.items,
    )
    before = first.results.items
    return RunDiff(
        before=first.source,
        now=second.source,
        new=[each for each in present if each.finding.standing == "new"],
        known=[each for each in present if each.finding.standing == "known"],
        fixed=root_causes_first(found.fixed, before),
        unseen=root_causes_first(found.unseen, before),
        changes=changes,
    )


def _print(first: Baseline, second: Baseline, difference: RunDiff) -> None:
    """Print to standard output; hostile names are made harmless."""
    say = ConsoleProgress(stderr=False).say
    for head, run in (("before", first), ("now   ", second)):
        started = run.results.started
        say(f"{head}  {cluster_sentence(started.cluster)}, {moment(started.time)}, {run.source}")
        say(f"        {run.results.ended.verdict}")
    _section(say, "Changed in the cluster", [str(change) for change in difference.changes])
    _section(say, "New", [_sentence(each) for each in difference.new])
    _section(say, "Still there", [_sentence(each) for each in difference.known])
    _section(say, "Fixed", [past_sentence(each) for each in difference.fixed])
    _section(say, "Not checked again", [past_sentence(each) for each in difference.unseen])
    say(f"\n{_summary(difference)}")


def _summary(difference: RunDiff) -> str:
    """`Findings: 1 new, 2 still there, 0 fixed …`."""
    parts = (
        f"{len(difference.new):,} new",
        f"{len(difference.known):,} still there",
        f"{len(difference.fixed):,} fixed",
        f"{len(difference.unseen):,} not checked again",
    )
    changes = plural(len(difference.changes), "change")
    return f"Findings: {', '.join(parts)}. {changes} in the cluster."


def _page(first: Baseline, second: Baseline, difference: RunDiff) -> str:
    return diff_page.render(
        (first.results, second.results),
        (first.source, second.source),
        diff_page.Difference(difference.new, difference.known, difference.fixed, difference.unseen),
        [str(change) for change in difference.changes],
        _summary(difference),
    )


def _section(say: Say, title: str, lines: list[str]) -> None:
    if not lines:
        return
    say(f"\n{title}")
    for line in lines[:MOST]:
        say(f"  {' '.join(line.split())}")
    if lines[MOST:]:
        say(f"  … and {len(lines) - MOST:,} more; -o json has all.")


def _sentence(each: PastFinding) -> str:
    where = f" on {each.node}" if each.node else ""
    finding = each.finding
    why = f" ({each.why})" if each.why else ""
    why += f" ({finding.flaky})" if finding.flaky else ""
    return (
        f"{'flaky' if finding.flaky else finding.level} {each.check}{where}: "
        f"{object_name(finding)}: expected {finding.expected}; found {finding.found}{why}"
    )
