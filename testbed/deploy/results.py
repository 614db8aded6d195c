"""What the runs in the cluster have left on the volume."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from testbed.commands import TestbedError
from testbed.deploy.overlay import FOLDER, NODE
from testbed.nodes import output

Item = tuple[str, str]
"""A check's id and the node, which is empty for the cluster's."""


@dataclass(frozen=True, slots=True)
class Report:
    """A run's items, and how much it has seen."""

    outcomes: Mapping[Item, str]
    coverage: Mapping[str, object]

    @property
    def red(self) -> list[str]:
        """The items that failed or could not be evaluated."""
        bad = ("fail", "error")
        return [f"{c}[{n}]" for (c, n), outcome in self.outcomes.items() if outcome in bad]


def newest_report() -> Report:
    """Of the newest run on the volume. Raises TestbedError where there is none."""
    found = output(NODE, ["find", FOLDER, "-maxdepth", "2", "-name", "results.jsonl"]).split()
    if not found:
        raise TestbedError(f"there is no report in {FOLDER} on {NODE}")
    return read_report(output(NODE, ["cat", max(found)]))


def read_report(text: str) -> Report:
    """A report from the text of its results.jsonl."""
    records = [json.loads(line) for line in text.splitlines()]
    outcomes = {
        (each["check"], each.get("node", "")): each["outcome"]
        for each in records
        if each["type"] == "item"
    }
    return Report(outcomes, records[-1].get("coverage", {}))


def differences(one: Report, other: Report) -> list[str]:
    """Where two runs have not the same items with the same outcomes, as sentences."""
    items = sorted(one.outcomes.keys() | other.outcomes.keys())
    return [
        f"{check}[{node}]: {one.outcomes.get((check, node), 'not there')} and "
        f"{other.outcomes.get((check, node), 'not there')}"
        for check, node in items
        if one.outcomes.get((check, node)) != other.outcomes.get((check, node))
    ]
