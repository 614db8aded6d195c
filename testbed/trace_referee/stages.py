"""What the worlds of a run had, and what decided about their packets: the table that is printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

OF_DEVICES = ("neighbour", "bridge", "ingress", "egress", "FDB", "device")
"""Stages whose names go on with those of a device."""


class Deciding:
    """Worlds by the kinds of their changes, and dead packets by the stage that ended them."""

    def __init__(self) -> None:
        self._worlds = 0
        self._having: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()

    def add(self, kinds: Sequence[str], packets: Iterable[tuple[str, str]]) -> None:
        """Count a world: the kinds of its changes, and (result, stage) of each packet."""
        self._worlds += 1
        self._having.update(sorted(set(kinds)))
        self._ended.update(stage_of(stage) for result, stage in packets if result == "dies")

    def lines(self) -> Iterator[str]:
        """The table, the most frequent first."""
        yield "Changes, with the share of worlds that have them:"
        for kind, count in self._having.most_common():
            yield f"  {kind:<22}{count:>6}{count / self._worlds:>8.0%}"
        yield "Stages, with the packets that died there:"
        for stage, count in self._ended.most_common():
            yield f"  {stage:<22}{count:>6}"


def stage_of(name: str) -> str:
    """The stage without its device: `neighbour` of `neighbour on cni0`."""
    word = name.partition(" ")[0]
    return word if word in OF_DEVICES else name
