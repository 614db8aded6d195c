"""What the worlds of a run had, and what decided about their packets: the table that is printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

OF_DEVICES = ("neighbour", "bridge", "ingress", "egress", "FDB", "device")
"""Stages whose names go on with those of a device."""


class Ended(Protocol):
    """A packet, where it ended, and whether counters or a capture show that."""

    @property
    def result(self) -> str: ...

    @property
    def stage(self) -> str: ...

    @property
    def is_counted(self) -> bool: ...

    @property
    def is_captured(self) -> bool: ...

    @property
    def has_account(self) -> bool: ...


class Deciding:
    """Worlds by the kinds of their changes, and dead packets by the stage that ended them."""

    def __init__(self) -> None:
        self._worlds = 0
        self._having: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._counted: Counter[str] = Counter()
        self._captured: Counter[str] = Counter()
        self._either: Counter[str] = Counter()

    def add(self, kinds: Sequence[str], packets: Iterable[Ended]) -> None:
        """Count a world: the kinds of its changes, and its packets."""
        self._worlds += 1
        self._having.update(sorted(set(kinds)))
        for each in packets:
            if each.result == "dies":
                stage = stage_of(each.stage)
                self._ended[stage] += 1
                self._counted[stage] += each.is_counted
                self._captured[stage] += each.is_captured
                self._either[stage] += each.has_account

    def lines(self) -> Iterator[str]:
        """The table, the most frequent first."""
        yield "Changes, with the share of worlds that have them:"
        for kind, count in self._having.most_common():
            yield f"  {kind:<22}{count:>6}{count / self._worlds:>8.0%}"
        dead, either = self._ended.total(), self._either.total()
        share = f" ({either / dead:.1%})" if dead else ""
        yield "Stages: packets that died there; shown by counters, by a capture, by either:"
        for stage, count in self._ended.most_common():
            yield self._line(stage, count, *(each[stage] for each in self._accounts))
        yield self._line("total", dead, *(each.total() for each in self._accounts)) + share

    @property
    def _accounts(self) -> tuple[Counter[str], ...]:
        return self._counted, self._captured, self._either

    @staticmethod
    def _line(name: str, *counts: int) -> str:
        return f"  {name:<22}" + "".join(f"{each:>7}" for each in counts)


def stage_of(name: str) -> str:
    """The stage without its device: `neighbour` of `neighbour on cni0`."""
    word = name.partition(" ")[0]
    return word if word in OF_DEVICES else name
