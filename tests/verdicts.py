"""The verdict on a recorded cluster, item by item, without the wording.

`python -m tests.verdicts` records the verdicts of all recorded clusters. Do that only together
with a change that is meant to change a verdict, and say in its commit which one and why.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from testbed.record import RECORDED
from wirecheck.catalogue.former_ids import current_id, former_id
from wirecheck.catalogue.registry import load
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.results.records import FURTHER, FindingRecord, ItemResult
from wirecheck.snapshot.folder import Snapshot

HERE = Path(__file__).parent / "recorded"
FOLDER = HERE / "verdicts"
CLUSTERS = {
    "healthy": RECORDED / "healthy",
    "broken": RECORDED / "broken",
    "older-healthy": HERE / "clusters" / "healthy",
    "older-broken": HERE / "clusters" / "broken",
    "older-dual-stack": HERE / "clusters" / "dual-stack",
    "snapshot": HERE / "snapshot",
}
"""The recorded clusters by name; the first two ship with the package."""

KEPT = {"dns.replicas_answer", "nodes.reachable", "nodes.ready", "services.nodes_agree"}
"""Checks that were not renamed."""

Verdict = dict[str, object]


def verdicts(snapshot: Path) -> list[Verdict]:
    """One verdict for each item, in the order of check and node."""
    found = [_verdict(item) for item in evaluate(Snapshot.open(snapshot), load())]
    return sorted(found, key=_place)


def write(verdicts: Iterable[Verdict], file: Path) -> None:
    """Write the verdicts as compressed JSON lines; the same verdicts give the same bytes."""
    lines = "".join(f"{json.dumps(verdict, separators=(',', ':'))}\n" for verdict in verdicts)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(lines.encode(), mtime=0))


def read(file: Path) -> list[Verdict]:
    """The verdicts that `write` left in the file."""
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def under_first_ids(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts of the checks that there were before the renaming, under the ids of that time.

    Newer checks are not recorded: a check that is new is not compared.
    """
    return [
        {**each, "check": former_id(check)}
        for each in verdicts
        if (check := str(each["check"])) in KEPT or former_id(check) != check
    ]


def with_current_ids(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The same verdicts with the ids that checks have now."""
    return [{**each, "check": current_id(str(each["check"]))} for each in verdicts]


def differences(before: Iterable[Verdict], now: Iterable[Verdict]) -> Iterator[str]:
    """One sentence for each item that has another verdict now.

    Checks that did not exist before are ignored.
    """
    earlier, later = ({_place(each): each for each in some} for some in (before, now))
    for place, verdict in earlier.items():
        name = " on ".join(filter(None, place))
        if place not in later:
            yield f"{name}: there was a verdict, and now there is none"
        for field in verdict:
            if place in later and verdict[field] != later[place][field]:
                yield f"{name}: {field} was {verdict[field]}, now {later[place][field]}"
    known = {check for check, _ in earlier}
    for place in later:
        if place[0] in known and place not in earlier:
            yield f"{' on '.join(filter(None, place))}: there was no verdict, and now there is one"


def _verdict(item: ItemResult) -> Verdict:
    return {
        "check": item.check,
        "node": item.node,
        "outcome": str(item.outcome),
        "gives_reason": bool(item.reason),
        "folded": item.folded,
        "findings": sorted(_finding(each) for each in item.findings),
        "undecided": item.undecided,
        "unjudged": sorted(item.unjudged.values()),
    }


def _finding(record: FindingRecord) -> list[str]:
    """What identifies the finding: its object, without what depends on wording or check id."""
    about = record.object
    key = record.key.partition("/")[2]
    if about.part == FURTHER:
        key = key.rpartition("/")[0]  # The last part is a digest of keys, which hold check ids.
    return [str(record.level), str(about), about.workload, key, str(record.looks), record.standing]


def _place(verdict: Verdict) -> tuple[str, str]:
    return str(verdict["check"]), str(verdict["node"])


if __name__ == "__main__":
    for name, folder in CLUSTERS.items():
        write(under_first_ids(verdicts(folder)), FOLDER / f"{name}.jsonl.gz")
