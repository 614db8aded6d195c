"""What came out so far, by version and mode: kept in the cache, shown as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from testbed.marked_page import put_between
from testbed.referee.cilium_duel import MODE as CILIUM
from testbed.referee.duel import Score
from testbed.state import write_atomically


@dataclass
class Tally:
    """What became of the mutations."""

    reported: int = 0
    harmless: dict[str, int] = field(default_factory=dict)
    """By the reason."""
    missed: int = 0

    @property
    def tried(self) -> int:
        return self.reported + self.missed + sum(self.harmless.values())


@dataclass(frozen=True)
class Result:
    """One version in one mode."""

    score: Score
    tally: Tally
    date: str

    @classmethod
    def today(cls, score: Score, tally: Tally) -> Result:
        return cls(score, tally, datetime.now(UTC).date().isoformat())


def kept(path: Path) -> dict[tuple[str, str], Result]:
    """The last result of each version and mode."""
    try:
        records = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    results = [
        Result(Score(**each["score"]), Tally(**each["tally"]), each["date"]) for each in records
    ]
    return {(each.score.version, each.score.mode): each for each in results}


def keep(path: Path, result: Result) -> None:
    """Put a result in the place of an older one of its version and mode."""
    results = kept(path) | {(result.score.version, result.score.mode): result}
    write_atomically(path, json.dumps([asdict(each) for each in results.values()], indent=1))


def table(results: Iterable[Result]) -> str:
    """A Markdown table."""
    head = (
        "| kube-proxy | mode | Services (IPv4, IPv6, dual) | changes | frontends compared"
        " | disagreements | mutations: reported, harmless, missed | seed | date |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    in_order = sorted(
        results, key=lambda each: (each.score.mode, *map(int, each.score.version.split(".")))
    )
    return head + "".join(_row(each) for each in in_order)


def _row(result: Result) -> str:
    score, tally = result.score, result.tally
    families = ", ".join(f"{each:,}" for each in score.by_family.values())
    mutations = "not tried"
    if tally.tried:
        mutations = f"{tally.reported:,}, {sum(tally.harmless.values()):,}, {tally.missed:,}"
    version = f"Cilium {score.version}" if score.mode == CILIUM else score.version
    return (
        f"| {version} | {score.mode} | {score.services:,} ({families}) | {score.changes:,}"
        f" | {score.frontends:,} | {score.disagreements:,} | {mutations} | {score.seed}"
        f" | {result.date} |\n"
    )


def reasons(results: Iterable[Result]) -> str:
    """Why mutations were harmless, as a Markdown list."""
    counted: dict[str, int] = {}
    for result in results:
        for reason, count in result.tally.harmless.items():
            counted[reason] = counted.get(reason, 0) + count
    return listed(counted)


def listed(counted: Mapping[str, int]) -> str:
    """Reasons with their numbers as a Markdown list, the most frequent ones first."""
    lines = sorted(counted.items(), key=lambda each: -each[1])
    return "".join(f"- {reason}: {count:,}\n" for reason, count in lines)


def into_page(page: Path, results: Iterable[Result]) -> None:
    """Put the table between the marks of a Markdown page."""
    found = list(results)
    harmless = reasons(found)
    why = f"\nHarmless mutations, by the reason:\n\n{harmless}" if harmless else ""
    put_between(page, BEGIN, END, f"{table(found)}{why}")


BEGIN, END = "<!-- results -->", "<!-- end of results -->"
