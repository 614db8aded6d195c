"""Where a packet ends, as one sentence."""

from __future__ import annotations

from wirecheck.paths.answer import Path
from wirecheck.paths.place import THE_NODE
from wirecheck.paths.routed import ROUTING
from wirecheck.text import shortened

MISLED = ("no node's route", "no rule translates")
"""How reasons begin of packets that leave the cluster and should not."""
LONGEST = 500


def end_of(path: Path) -> str:
    """`the packet dies on w1, forward: dropped by this rule: filter: -A FORWARD -j DROP`."""
    hop, reason = path.decisive, shortened(path.reason, LONGEST)
    if hop is None:
        return reason
    inside = "" if hop.netns == THE_NODE else f" in {hop.netns}"
    where = f"{inside} on {hop.node}, {hop.stage}"
    lines = [shortened(each, LONGEST) for each in lines_of(path)[-1:] if each not in reason]
    if reason.startswith(MISLED):
        return ": ".join([f"{reason}{where}", *lines])
    return ": ".join([f"the packet dies{where}", reason, *lines])


def lines_of(path: Path) -> tuple[str, ...]:
    """The lines that decide its end; of a packet that leaves the cluster, the route by which."""
    hop = path.decisive
    if hop is None or hop.lines or not path.reason.startswith(MISLED):
        return hop.lines if hop else ()
    last = path.back or path.there
    routes = (e.lines for e in reversed(last.hops) if e.stage == ROUTING and e.node == hop.node)
    return next(routes, ())
