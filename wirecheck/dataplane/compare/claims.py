"""One address that several Services claim: the combined effect of their rules.

In iptables mode, sources outside one Service's ranges meet the rules of the next Service. In
nftables mode, an address has one element in each map, and each may belong to another Service: the
source ranges of one with the backends of another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from msgspec import structs

from wirecheck.addresses import network
from wirecheck.dataplane.clients import Intervals, difference, intervals
from wirecheck.dataplane.table import Handling, Verdict

Agrees = Callable[[Handling, Handling], bool]


def is_made_of_claims(wanted: Collection[Handling], found: Handling, agrees: Agrees) -> bool:
    """Whether each part of the handling that was found agrees with one of the claims.

    A part may serve fewer sources than its claim, as another claim refuses the others, but never
    more. `agrees` compares two handlings whose `allowed` is None.
    """
    restricts = any(each.allowed is not None or each.verdict is Verdict.DROP for each in wanted)
    parts = found.parts or (found,)
    # Sources outside of `allowed` are dropped.
    if found.allowed is not None and not restricts:
        return False
    return all(
        (part.verdict is Verdict.DROP and restricts)
        or any(_covers(claim, part) and agrees(_whole(claim), _whole(part)) for claim in wanted)
        for part in parts
    )


def _covers(claim: Handling, part: Handling) -> bool:
    """Whether the claim allows all sources that the part serves."""
    if claim.allowed is None:
        return True
    return part.allowed is not None and not difference(_spans(part.allowed), _spans(claim.allowed))


def _whole(handling: Handling) -> Handling:
    return structs.replace(handling, allowed=None)


def _spans(texts: Iterable[str]) -> Intervals:
    return intervals(map(network, texts))
