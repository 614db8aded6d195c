"""The fault matrix: for each fault what was to turn red, what did, and how fast."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from testbed.faults.fault import Red


@dataclass(frozen=True)
class Row:
    """One fault, proven or not."""

    fault: str
    group: str
    story: str
    expected: frozenset[Red]
    red: frozenset[Red]
    left_over: frozenset[Red]
    """What was still red after the fault had been taken out."""
    seconds: float
    problem: str = ""
    symptoms: frozenset[Red] = frozenset()
    """Those of `red` that the report tells beneath their cause."""

    @property
    def is_exact(self) -> bool:
        """Whether the fault gave exactly its set, and left nothing."""
        return not self.problem and self.red == self.expected and not self.left_over


def as_text(row: Row) -> str:
    """A few lines for a terminal."""
    mark = "exact" if row.is_exact else "WRONG"
    lines = [f"{mark}  {row.fault} ({row.seconds:.0f} s)"]
    if row.problem:
        lines.append(f"         {row.problem}")
    right = row.red & row.expected
    lines += [f"         red          {_name(red)}" for red in sorted(right - row.symptoms)]
    lines += [f"         follows      {_name(red)}" for red in sorted(right & row.symptoms)]
    lines += [f"         NOT RED      {_name(red)}" for red in sorted(row.expected - row.red)]
    lines += [f"         NOT EXPECTED {_name(red)}" for red in sorted(row.red - row.expected)]
    lines += [f"         LEFT OVER    {_name(red)}" for red in sorted(row.left_over)]
    return "\n".join(lines)


def as_markdown(rows: Iterable[Row]) -> str:
    """The table in the docs."""
    lines = [
        "| group | fault | turned red, exactly | and its symptoms | seconds |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        exact = "" if row.is_exact else " **not exact**"
        causes, symptoms = _names(row.red - row.symptoms), _names(row.symptoms)
        story = f"{row.story}{exact}"
        lines.append(f"| {row.group} | {story} | {causes} | {symptoms} | {row.seconds:.0f} |")
    return "\n".join(lines) + "\n"


def _names(reds: Iterable[Red]) -> str:
    return "<br>".join(f"`{_name(red)}`" for red in sorted(reds))


def _name(red: Red) -> str:
    check, node, outcome = red
    return f"{check}[{node}] {outcome}" if node else f"{check} {outcome}"
