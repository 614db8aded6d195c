"""`--wait`: which items are failing, when they healed, and whether to check again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wirecheck.catalogue.findings import Outcome
from wirecheck.evaluation.verdict import FAILS_ON, FailOn, spared_nodes
from wirecheck.results.ordering import is_spared
from wirecheck.results.records import Healing, ItemResult, Wait

PAUSE = 20.0
"""Seconds between two attempts, each of which checks the whole cluster."""

FailingItem = tuple[str, str]
"""A check and a node."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, which tests replace."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(slots=True)
class Waiting:
    """How long one run has waited, of at most `limit` seconds; 0 means that it does not wait."""

    limit: float
    clock: Clock = field(default_factory=Clock)
    rounds: int = 0
    _began: float = field(init=False)
    _healed: dict[FailingItem, float] = field(default_factory=dict)
    _failing: set[FailingItem] = field(default_factory=set)

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
        """Take note of the items of one attempt."""
        self.rounds += 1
        failing = set(_failing_items(items, fail_on, unreachable))
        for item in self._failing - failing:
            self._healed[item] = self.passed
        for item in failing:
            self._healed.pop(item, None)
        self._failing = failing

    @property
    def goes_on(self) -> bool:
        """Whether an item is failing and there is time to check again."""
        return bool(self._failing) and self.left > 0

    @property
    def failing(self) -> int:
        """How many items were failing in the last attempt."""
        return len(self._failing)

    def pause(self) -> None:
        """Let some time pass before the next attempt."""
        self.clock.sleep(min(PAUSE, self.left))

    @property
    def record(self) -> Wait | None:
        """What the report shows; None without `--wait`."""
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


def _failing_items(
    items: Sequence[ItemResult], fail_on: FailOn, unreachable: float
) -> list[FailingItem]:
    """The items that are not healthy. A node that was not visited counts once."""
    bad = {Outcome.FAIL, Outcome.ERROR} | FAILS_ON[fail_on]
    spared = set(spared_nodes(items, unreachable))
    return [
        (item.check, item.node)
        for item in items
        if item.outcome in bad and not item.folded and not is_spared(item, spared)
    ]
