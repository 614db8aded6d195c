"""A command that ran on a node, with its output."""

from __future__ import annotations

from typing import Annotated

from wirecheck.snapshot.part import FEW, MANY, Output, SnapshotPart, Text, Word


class Command(SnapshotPart, frozen=True):
    """One command of the table of node commands, run in the node's own netns or a pod's."""

    argv: Annotated[list[Word], FEW]
    status: int | None = None
    """The exit status; None if the command did not run or did not end."""
    output: Output = ""
    blocks: Annotated[list[Word], MANY] = []
    """Instead of a large `output`: the SHA-256 of each of its blocks, in order."""
    stderr: Text = ""
    seconds: float = 0.0
    started: float = 0.0
    """Seconds since the epoch by the node's clock; 0 in documents of older programs."""
    problem: Word = ""
    """`missing` (no such tool), `time limit`, `too large`, `not asked: REASON` (not needed), …"""
    lent: bool = False
    """Whether the tool came from the agent's image: the node lacks it, or has one too old."""

    @property
    def is_whole(self) -> bool:
        """Whether the tool ended well and the output is all that it printed."""
        return self.status == 0 and not self.problem
