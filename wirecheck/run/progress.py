"""Who is informed while a run goes on: a terminal, pytest's output, Sonobuoy's sidecar."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from wirecheck.snapshot.index import VisitRecord


class VisitProgress(Protocol):
    """Is informed of each visit of one round."""

    def visited(self, node: str, visit: VisitRecord) -> None:
        """The visit to `node` has ended. Any thread may call this."""
        ...


class RunProgress(Protocol):
    """Is informed how a run goes, while it goes."""

    def say(self, sentence: str) -> None:
        """Show something that the reader should know now."""
        ...

    def visits(self, total: int) -> AbstractContextManager[VisitProgress]:
        """Begin a round that visits `total` nodes."""
        ...


class Silence:
    """Shows nothing."""

    def say(self, sentence: str) -> None:
        """Do nothing."""

    def visits(self, _total: int) -> AbstractContextManager[VisitProgress]:
        """Do nothing."""
        return nullcontext(self)

    def visited(self, node: str, visit: VisitRecord) -> None:
        """Do nothing."""
