"""The fault matrix: for each fault which checks had to fail, which did, and how fast."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.faults.fault import Red
from testbed.marked_page import between, put_between
from wirecheck.text import plural

BEGIN, END = "<!-- matrix -->", "<!-- end of matrix -->"
HEAD = ("| group | fault | failed, exactly | seconds | on |", "|---|---|---|---|---|")
_NAMED = re.compile(r"\| \S+ \| `([a-z0-9-]+)` ")


@dataclass(frozen=True)
class Row:
    """One fault, proven or not."""

    fault: str
    group: str
    story: str
    expected: frozenset[Red]
    red: frozenset[Red]
    left_over: frozenset[Red]
    """What still failed after the fault was removed."""
    seconds: float
    problem: str = ""
    symptoms: frozenset[Red] = frozenset()
    """Those of `red` that the report lists as consequences of a cause."""
    flaky: frozenset[Red] = frozenset()
    """What failed in some rounds only: it is not part of `red`."""
    rounds: int = 1
    by_chance: frozenset[Red] = frozenset()
    """What can be part of `red` besides, as the backend of a connection is chosen at random."""
    needs: str = ""
    """What wirecheck does not evaluate yet: it names no cause of this fault."""

    @property
    def is_named(self) -> bool:
        """Whether the fault has a set at all; one that wirecheck does not name yet has none."""
        return not self.needs

    @property
    def is_exact(self) -> bool:
        """Whether the fault gave exactly its set, and left nothing."""
        certain = self.red - (self.by_chance - self.expected)
        as_expected = certain == self.expected or not self.is_named
        return not self.problem and as_expected and not self.left_over


def as_text(row: Row) -> str:
    """A few lines for a terminal."""
    mark = ("exact" if row.is_named else "-----") if row.is_exact else "WRONG"
    lines = [f"{mark}  {row.fault} ({row.seconds:.1f} s, {plural(row.rounds, 'round')})"]
    if row.problem:
        lines.append(f"         {row.problem}")
    if not row.is_named:
        lines.append(f"         not yet named: it needs {row.needs}")
        lines += [f"         shown        {name_of(red)}" for red in sorted(row.red)]
        lines += [f"         LEFT OVER    {name_of(red)}" for red in sorted(row.left_over)]
        return "\n".join(lines)
    right = row.red & (row.expected | row.by_chance)
    lines += [f"         failing      {name_of(red)}" for red in sorted(right - row.symptoms)]
    lines += [f"         follows      {name_of(red)}" for red in sorted(right & row.symptoms)]
    lines += [f"         NOT FAILING  {name_of(red)}" for red in sorted(row.expected - row.red)]
    lines += [
        f"         NOT EXPECTED {name_of(red)}"
        for red in sorted(row.red - row.expected - row.by_chance)
    ]
    lines += [f"         flaky        {name_of(red)}" for red in sorted(row.flaky)]
    lines += [f"         LEFT OVER    {name_of(red)}" for red in sorted(row.left_over)]
    return "\n".join(lines)


def times(rows: Iterable[Row]) -> str:
    """The seconds from the start of a run to its verdict, over all faults that were injected."""
    seconds = sorted(row.seconds for row in rows if row.seconds)
    if not seconds:
        return "no run reached a verdict"
    # The nearest rank: at least this share of the runs took no longer.
    median, most = (seconds[math.ceil(share * len(seconds)) - 1] for share in (0.5, 0.9))
    return (
        f"seconds to the verdict: median {median:.1f}, 90th percentile {most:.1f}, longest "
        f"{seconds[-1]:.1f}, of {plural(len(seconds), 'fault')}"
    )


def counted(rows: Sequence[Row]) -> str:
    """How many were exact, how many were not, and how many wirecheck does not name yet."""
    failed = sum(not row.is_exact for row in rows)
    unnamed = sum(row.is_exact and not row.is_named for row in rows)
    passed = len(rows) - failed - unnamed
    return f"{passed} passed, {failed} failed" + (f", {unnamed} not yet named" if unnamed else "")


def into_page(page: Path, rows: Iterable[Row], order: Sequence[str], day: str) -> None:
    """Put what was seen on `day` into the table of a Markdown page; other faults keep their row."""
    known = between(page, BEGIN, END).splitlines()
    lines = {found[1]: line for line in known if (found := _NAMED.match(line))}
    lines |= {row.fault: as_markdown(row, day) for row in rows}
    listed = [lines[name] for name in order if name in lines]
    put_between(page, BEGIN, END, "".join(f"{line}\n" for line in (*HEAD, *listed)))


def as_markdown(row: Row, day: str) -> str:
    """Its line of the table; consequences follow their cause, with an arrow."""
    reds = [f"`{name_of(red)}`" for red in sorted(row.red - row.symptoms)]
    reds += [f"↳ `{name_of(red)}`" for red in sorted(row.red & row.symptoms)]
    shown = "<br>".join(reds) or "nothing"
    exact = "" if row.is_exact else " **not exact**"
    seconds = f"{row.seconds:.0f}"
    return f"| {row.group} | `{row.fault}` {row.story}{exact} | {shown} | {seconds} | {day} |"


def name_of(red: Red) -> str:
    """One that failed, as a report writes it."""
    check, node, outcome = red
    return f"{check}[{node}] {outcome}" if node else f"{check} {outcome}"
