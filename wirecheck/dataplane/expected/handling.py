"""The few forms that an expected `Handling` has."""

from __future__ import annotations

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.clients import Intervals, intersection, ranges
from wirecheck.dataplane.expected.endpoints import UsableEndpoints
from wirecheck.dataplane.table import Handling, Masquerade, Verdict

REJECTED = Handling(Verdict.REJECT)
DROPPED = Handling(Verdict.DROP)


def forwarded(backends: tuple[Backend, ...], affinity: int, masquerade: Masquerade) -> Handling:
    """Spread evenly over `backends`, which are sorted."""
    share = 1 / len(backends)
    return Handling(Verdict.FORWARD, backends, (share,) * len(backends), (affinity,), masquerade)


def dead_end(usable: UsableEndpoints) -> Handling:
    """Without an endpoint to go to: rejected if there is none anywhere, else dropped.

    Dropped, because a load balancer that still sends here is to try another node.
    """
    return DROPPED if usable.has_any else REJECTED


def restricted(handling: Handling, kind: Intervals, allowed: Intervals, family: int) -> Handling:
    """The same for those sources of a kind of client that are allowed, the others dropped."""
    region = intersection(kind, allowed)
    if not region or handling.verdict is Verdict.DROP:
        return DROPPED
    if region == kind:
        return handling
    return Handling(
        handling.verdict,
        handling.backends,
        handling.shares,
        handling.affinity,
        handling.masquerade,
        allowed=ranges(region, family),
    )
