"""The source of a session: a live cluster with its nodes, or a snapshot.

A source collects or opens. It evaluates nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from wirecheck.catalogue.registry import Check
from wirecheck.evaluation.selection import Selection
from wirecheck.results.records import Override
from wirecheck.run.progress import RunProgress
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import ClusterIdentity


class Rounds(Protocol):
    """The rounds of one observation. All of them go into one snapshot."""

    @property
    def snapshot(self) -> Snapshot:
        """What the rounds have seen so far. Raises SnapshotError before the first has ended."""
        ...

    @property
    def finished(self) -> int:
        """How many rounds are in the snapshot."""
        ...

    @property
    def interrupted(self) -> bool:
        """Whether the user ended the rounds early."""
        ...

    def first(self, nodes: Collection[str] | None = None) -> None:
        """Take the round that visits every node, or only `nodes`."""
        ...

    def another(self, nodes: Collection[str]) -> bool:
        """Read the API again and visit `nodes`; return False if no round can be taken."""
        ...

    def interrupt(self) -> None:
        """Take no more rounds, and inform the user."""
        ...


class Source(Protocol):
    """A cluster that can be seen: a live one, or a snapshot."""

    @property
    def name(self) -> str:
        """`live`, or the snapshot's folder."""
        ...

    @property
    def node_names(self) -> Sequence[str]:
        """Every selected node that the API lists, sorted."""
        ...

    @property
    def selection(self) -> Selection:
        """The part of the cluster that is evaluated."""
        ...

    @property
    def identity(self) -> ClusterIdentity:
        """Which cluster it is."""
        ...

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Thresholds that were set explicitly."""
        ...

    @property
    def overrides(self) -> Sequence[Override]:
        """Thresholds and waivers that replace those of the snapshot."""
        ...

    @property
    def pauses(self) -> Sequence[float]:
        """Seconds before the second, third … round; empty where no further round is possible."""
        ...

    def introduce(self, progress: RunProgress) -> None:
        """Print the cluster and the nodes to visit, before the first visit."""
        ...

    def rounds(
        self, folder: Path, progress: RunProgress, checks: Sequence[Check] | None = None
    ) -> AbstractContextManager[Rounds]:
        """Prepare rounds that collect what `checks` need into `folder`.

        Without `checks`, they collect what any check needs, and make no helper pods. Pods that
        the rounds need exist until the context is left.
        """
        ...
