"""The few forms of an expected `Handling`."""

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
    """Without a usable endpoint here: rejected if there is none anywhere, else dropped.

    Dropped, so that a load balancer which still sends here tries another node.
    """
    return DROPPED if usable.has_any else REJECTED


def restricted(handling: Handling, kind: Intervals, allowed: Intervals, family: int) -> Handling:
    """The same for the allowed sources of a kind of client; all others are dropped."""
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
