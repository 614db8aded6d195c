"""A connection to an address outside of the cluster: what is beyond the nodes answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wirecheck.paths.answer import Path, answer_to, at_sender, paths
from wirecheck.paths.device_layer import LEAVING
from wirecheck.paths.journey import Arrives, Journey, Leaves, Result
from wirecheck.paths.place import World
from wirecheck.paths.walk import followed


def answered_from_outside(world: World, start: Journey) -> tuple[Path, ...]:
    """Every branch; a packet that leaves the node is answered to where it came from."""
    found: list[Path] = []
    for each in paths(world, start):
        there, at = each.there, each.there.at
        if each.back is None and there.reason.startswith(LEAVING) and isinstance(at, Leaves):
            found += _answered(world, start, there, at)
        else:
            found.append(each)
    return tuple(found)


def _answered(world: World, start: Journey, there: Journey, at: Leaves) -> Iterator[Path]:
    """The path with its answer, which comes back by the device by which the packet left."""
    there = replace(there, result=Result.REACHES, reason="")
    back = replace(answer_to(start, there), at=Arrives(at.place, at.device))
    for each in followed(world, back):
        yield Path(there, at_sender(each, start.packet, start.at.place))
