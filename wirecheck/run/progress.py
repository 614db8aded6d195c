"""Receivers of a run's progress: a terminal, pytest's output, Sonobuoy's sidecar."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

from wirecheck.snapshot.index import VisitRecord


class VisitProgress(Protocol):
    """Receives each visit of one round."""

    def visited(self, node: str, visit: VisitRecord) -> None:
        """The visit to `node` has ended. Any thread may call this."""
        ...


class RunProgress(Protocol):
    """Receives the progress of a run."""

    def say(self, sentence: str) -> None:
        """Show a message at once."""
        ...

    def visits(self, total: int) -> AbstractContextManager[VisitProgress]:
        """Begin a round that visits `total` nodes."""
        ...


@runtime_checkable
class CountsDown(Protocol):
    """A receiver that can show how a pause passes: a terminal."""

    def counts_down(self, seconds: float, why: str) -> bool:
        """Let `seconds` pass while showing those that are left; return False if it cannot."""
        ...


@runtime_checkable
class Warns(Protocol):
    """A receiver that may leave out what `say` shows, but not this."""

    def warn(self, sentence: str) -> None:
        """Show what somebody must know although the run goes on."""
        ...


def warner(progress: RunProgress) -> Callable[[str], None]:
    """The function that shows what must not be left out, however quiet the receiver is."""
    return progress.warn if isinstance(progress, Warns) else progress.say


class Silence:
    """Shows nothing."""

    def say(self, sentence: str) -> None:
        """Do nothing."""

    def visits(self, _total: int) -> AbstractContextManager[VisitProgress]:
        """Do nothing."""
        return nullcontext(self)

    def visited(self, node: str, visit: VisitRecord) -> None:
        """Do nothing."""
