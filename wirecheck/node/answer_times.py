"""The latency of answers, as a distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AnswerTimes:
    """The times of at least one answer, in milliseconds, ascending."""

    milliseconds: tuple[float, ...]

    @classmethod
    def of(cls, seconds: Sequence[float]) -> AnswerTimes | None:
        """Return the distribution of times in seconds, or None without any."""
        return cls(tuple(sorted(each * 1000 for each in seconds))) if seconds else None

    @property
    def median(self) -> float:
        return self._percentile(50)

    @property
    def slowest(self) -> float:
        """The 99th percentile; with fewer than a hundred answers, the slowest one."""
        return self._percentile(99)

    def _percentile(self, percent: int) -> float:
        """Return the percentile by nearest rank: a measured time, never an interpolated one."""
        return self.milliseconds[math.ceil(len(self.milliseconds) * percent / 100) - 1]

    def __str__(self) -> str:
        return (
            f"median {self.median:.0f} ms, 99th percentile {self.slowest:.0f} ms, "
            f"at most {self.milliseconds[-1]:.0f} ms, of {len(self.milliseconds)} answers"
        )
