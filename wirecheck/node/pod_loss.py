"""DNS queries from a node's pods without retries: whether more were lost than chance explains.

The number of lost queries X of n is binomial. A finding needs at least k lost queries, with the
smallest k for which a network that loses NOISE of its packets reaches k in at most ACCEPTED of all
rounds. The plan sends 100 queries from the pods of a node, and 64 in large clusters:

| n   | k | P(X >= k), 0.1 % lost | P(X >= k), 10 % lost |
|-----|---|-----------------------|----------------------|
| 100 | 3 | 0.0002                | 0.998                |
| 64  | 2 | 0.0019                | 0.990                |

Rounds are independent, and a finding counts only if all of them agree. So three rounds find a loss
of 10 % with a probability of 0.994 (n = 100), and report one of 0.1 % in fewer than one of 10^11
runs. If fewer queries count, k is 2 or more, as one lost query proves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb

from wirecheck.api_index.pod import Pod
from wirecheck.text import plural

NOISE = 0.001
"""The share of lost packets that no network is blamed for."""

ACCEPTED = 0.002
"""How often a round may exceed the limit in a network that loses NOISE."""

DOUBT = 0.01
"""A loss of the failing threshold would show so few lost queries in this share of rounds."""


@dataclass(frozen=True)
class PodQuery:
    """One query without retries from a pod to a DNS replica."""

    pod: Pod
    replica: Pod
    is_lost: bool


@dataclass(frozen=True)
class PodLoss:
    """The queries of all pods of a node."""

    queries: Sequence[PodQuery]

    @property
    def sent(self) -> int:
        return len(self.queries)

    @property
    def lost(self) -> int:
        return sum(each.is_lost for each in self.queries)

    @property
    def is_found(self) -> bool:
        """Whether more queries were lost than a sound network explains."""
        return self.lost >= least_lost(self.sent)

    def reaches(self, percent: float) -> bool:
        """Whether a loss of `percent` of all queries can be behind the number of lost ones."""
        return at_most(self.lost, self.sent, min(percent / 100, 1.0)) >= DOUBT

    @property
    def replicas(self) -> list[Pod]:
        """The replicas that did not answer every query."""
        return list(
            {each.replica.ref: each.replica for each in self.queries if each.is_lost}.values()
        )

    def __str__(self) -> str:
        pods = Counter(each.pod.ref for each in self.queries if each.is_lost)
        (worst, most), *_ = sorted(pods.items(), key=lambda each: (-each[1], each[0]))
        percent = 100 * self.lost / self.sent
        return (
            f"{self.lost} of {self.sent} queries from {plural(self._pods, 'pod')} lost "
            f"({percent:.0f} %): {most} from {worst.namespace}/{worst.name}"
            + (f", the others from {plural(len(pods) - 1, 'pod')}" if len(pods) > 1 else "")
        )

    @property
    def _pods(self) -> int:
        return len({each.pod.ref for each in self.queries})


def pod_loss(queries: Collection[PodQuery]) -> PodLoss | None:
    """The queries that count; None if there are none.

    A replica that answered no pod, and a pod that no replica answered, are found by other checks.
    """
    replicas = {each.replica.ref for each in queries if not each.is_lost}
    pods = {each.pod.ref for each in queries if not each.is_lost}
    counted = [each for each in queries if each.replica.ref in replicas and each.pod.ref in pods]
    return PodLoss(counted) if counted else None


@lru_cache(maxsize=512)
def least_lost(sent: int) -> int:
    """The number of lost queries that a sound network reaches only in ACCEPTED of all rounds."""
    least = 2
    while 1 - at_most(least - 1, sent, NOISE) > ACCEPTED:
        least += 1
    return least


def at_most(lost: int, sent: int, share: float) -> float:
    """The probability that at most `lost` of `sent` queries are lost, of which `share` are.

    >>> round(1 - at_most(2, 100, 0.1), 3)
    0.998
    """
    return sum(
        comb(sent, number) * share**number * (1 - share) ** (sent - number)
        for number in range(min(lost, sent) + 1)
    )
