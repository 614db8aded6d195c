"""Sonobuoy's tree of results, for a plugin with `result-format: manual`.

Below the run are the groups of checks, below a group its checks, and below a check the nodes where
it does not pass; root causes come first. The statuses are Sonobuoy's own words where it has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.format import Destination
from wirecheck.report.sentences import cluster_sentence, coverage_sentence, finding_sentence
from wirecheck.results.causes import symptoms
from wirecheck.results.ordering import REMARKABLE, CheckResults, by_check, causes_first, worst
from wirecheck.results.records import ItemResult, Results
from wirecheck.results.tally import tally_of
from wirecheck.text import harmless, shortened
from wirecheck.whole_file import refuse_unwritable_folder, write_whole

NAME = "sonobuoy"

FILE = "sonobuoy_results.yaml"
"""Sonobuoy prefers this name over all other files of a plugin."""

DONE = "done"
"""Holds the path of the results. The sidecar waits for this file."""

FOLDERS = ("SONOBUOY_RESULTS_DIR", "RESULTS_DIR")
DEFAULT_FOLDER = "/tmp/sonobuoy/results"

STATUSES = {
    Outcome.PASS: "passed",
    Outcome.FLAKY: "flaky",
    Outcome.WARN: "warned",
    Outcome.FAIL: "failed",
    Outcome.ERROR: "unknown",
    Outcome.SKIP: "skipped",
    Outcome.WAIVED: "waived",
    Outcome.KNOWN: "known",
}
MOST_NODES = 200
MOST_FINDINGS = 5
LONGEST = 500


def render(results: Results) -> str:
    """The complete tree, as YAML."""
    checks = causes_first(by_check(results), symptoms(results.items))
    groups: dict[str, list[CheckResults]] = {}
    for check in checks:
        groups.setdefault(check.group, []).append(check)
    ended, tally = results.ended, tally_of(results)
    return _dumped(
        "wirecheck",
        {0: "passed", 1: "failed"}.get(ended.status, "unknown"),
        details={
            "verdict": harmless(ended.verdict),
            "coverage": harmless(coverage_sentence(ended.coverage)),
            "cluster": harmless(cluster_sentence(results.started.cluster)),
            "exit-status": ended.status,
            "checks": {str(each): number for each in Outcome if (number := tally.number(each))},
            "nodes-failed": tally.nodes.get(Outcome.FAIL, 0),
            "root-causes": tally.root_causes,
        },
        items=[_group(some) for some in groups.values()],
    )


def render_failure(sentence: str) -> str:
    """The tree of a run that ended without results. Without one, the plugin would hang."""
    return _dumped("wirecheck", "unknown", details={"error": harmless(sentence)}, items=[])


def write(tree: str, destination: Destination) -> None:
    """Put the tree into the plugin's folder for results. Raises OSError."""
    folder = _folder(destination)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE
    write_whole(file, tree)
    # Last, because the sidecar takes the results as soon as it sees this file.
    write_whole(folder / DONE, str(file.absolute()))


def refuse(destination: Destination) -> None:
    """Raise OSError if no file can be made in the plugin's folder for results."""
    refuse_unwritable_folder(_folder(destination))


def _folder(destination: Destination) -> Path:
    named = (destination.environment.get(name, "") for name in FOLDERS)
    return Path(destination.place or next(filter(None, named), DEFAULT_FOLDER))


def _dumped(name: str, status: str, *, details: dict[str, Any], items: list[Any]) -> str:
    tree = {"name": name, "status": status, "details": details, "items": items}
    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100))


def _group(checks: Sequence[CheckResults]) -> dict[str, Any]:
    return {
        "name": harmless(checks[0].group),
        "status": STATUSES[worst(check.outcome for check in checks)],
        "items": [_check(check) for check in checks],
    }


def _check(check: CheckResults) -> dict[str, Any]:
    listed = check.having(*REMARKABLE)
    tree: dict[str, Any] = {
        "name": harmless(check.record.id),
        "status": STATUSES[check.outcome],
        "details": {"sentence": harmless(check.record.sentence)},
    }
    if listed and check.next_step:
        tree["details"]["remedy"] = harmless(check.next_step)
    if listed[MOST_NODES:]:
        tree["details"]["left-out"] = f"{len(listed) - MOST_NODES:,} more nodes"
    if listed:
        tree["items"] = [_item(item) for item in listed[:MOST_NODES]]
    return tree


def _item(item: ItemResult) -> dict[str, Any]:
    lines = [finding_sentence(finding) for finding in item.findings[:MOST_FINDINGS]]
    if item.findings[MOST_FINDINGS:]:
        lines.append(f"… and {len(item.findings) - MOST_FINDINGS:,} more")
    texts = [item.reason, *lines] if item.reason else lines
    return {
        "name": harmless(item.node or "cluster"),
        "status": STATUSES[item.outcome],
        "details": {"failure": [harmless(shortened(line, LONGEST)) for line in texts]},
    }
