"""Every further line that stops a packet: it is followed on as if the first one were not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wirecheck.paths.answer import Path, paths
from wirecheck.paths.journey import Hop, Journey, Result
from wirecheck.paths.place import World

MOST = 8


def further_hops(world: World, start: Journey, path: Path, *, one_way: bool) -> Iterator[Hop]:
    """The hops behind the one at which a path dies, at which it would die as well.

    They end where the packet would arrive, and where nothing is known without what stops it: a
    missing route, a device that is down.
    """
    overlooked, hop = start.overlooked, path.decisive
    for _ in range(MOST):
        if hop is None:
            return
        overlooked |= {hop.line}
        found = paths(world, replace(start, overlooked=overlooked), one_way=one_way)
        branches = [each for each in found if each.backend[: len(path.backend)] == path.backend]
        dying = [each for each in branches if each.result is Result.DIES]
        hop = dying[0].decisive if dying else None
        if hop is None or hop.line in overlooked:
            return
        yield hop
