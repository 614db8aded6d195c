"""Waiting until a cluster is healthy: what was red, when it healed, and whether to look again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wirecheck.catalogue.findings import Outcome
from wirecheck.evaluation.verdict import FailOn, is_spared, spared_nodes
from wirecheck.results.records import Healing, ItemResult, Wait

PAUSE = 20.0
"""Seconds between two rounds, of which each visits every node."""

Place = tuple[str, str]
"""A check and a node."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, which tests make themselves."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(slots=True)
class Waiting:
    """One run's waiting, of at most `limit` seconds; 0 is not to wait at all."""

    limit: float
    clock: Clock = field(default_factory=Clock)
    rounds: int = 0
    _began: float = field(init=False)
    _healed: dict[Place, float] = field(default_factory=dict)
    _red: set[Place] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._began = self.clock.now()

    @property
    def passed(self) -> float:
        """Seconds since the beginning."""
        return self.clock.now() - self._began

    @property
    def left(self) -> float:
        """Seconds until the time is up; never negative."""
        return max(0.0, self.limit - self.passed)

    def saw(self, items: Sequence[ItemResult], fail_on: FailOn, unreachable: float = 0) -> None:
        """A round is over."""
        self.rounds += 1
        red = set(_red(items, fail_on, unreachable))
        for place in self._red - red:
            self._healed[place] = self.passed
        for place in red:
            self._healed.pop(place, None)
        self._red = red

    @property
    def goes_on(self) -> bool:
        """Whether something is red and there is time to look again."""
        return bool(self._red) and self.left > 0

    @property
    def failing(self) -> int:
        """How many items were red in the last round."""
        return len(self._red)

    def pause(self) -> None:
        """Let some time pass before the next round."""
        self.clock.sleep(min(PAUSE, self.left))

    @property
    def record(self) -> Wait | None:
        """What the report says; nothing if nobody wanted to wait."""
        if not self.limit:
            return None
        return Wait(
            limit=self.limit,
            seconds=round(self.passed, 1),
            rounds=self.rounds,
            healed=[
                Healing(check, node, round(seconds, 1))
                for (check, node), seconds in sorted(self._healed.items(), key=lambda e: e[1])
            ],
        )


def _red(items: Sequence[ItemResult], fail_on: FailOn, unreachable: float) -> list[Place]:
    """What keeps the run from being healthy; a node that was not seen counts once."""
    bad = {Outcome.FAIL, Outcome.ERROR} | ({Outcome.WARN} if fail_on == "warn" else set())
    spared = set(spared_nodes(items, unreachable))
    return [
        (item.check, item.node)
        for item in items
        if item.outcome in bad and not item.folded and not is_spared(item, spared)
    ]
