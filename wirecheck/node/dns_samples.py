"""Single DNS queries without retries: how many were lost, and at which replica."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wirecheck.api_index.pod import Pod


@dataclass(frozen=True)
class Sample:
    """The queries to one replica, and how many it did not answer."""

    replica: Pod
    sent: int
    lost: int

    def __str__(self) -> str:
        return f"{self.lost} of {self.sent} at {self.replica.namespace}/{self.replica.name}"


@dataclass(frozen=True)
class Samples:
    """The queries to all replicas that answered at least one; others are reported elsewhere."""

    samples: Sequence[Sample]

    @property
    def sent(self) -> int:
        return sum(each.sent for each in self.samples)

    @property
    def lost(self) -> int:
        return sum(each.lost for each in self.samples)

    @property
    def percent(self) -> float:
        """Percent of all queries that were lost."""
        return 100 * self.lost / self.sent

    @property
    def replicas(self) -> list[Pod]:
        """The replicas that did not answer every query."""
        return [each.replica for each in self.samples if each.lost]

    def __str__(self) -> str:
        where = ", ".join(str(each) for each in self.samples if each.lost)
        return f"{self.lost} of {self.sent} queries lost ({self.percent:.0f} %): {where}"
