"""Follows a packet from stage to stage until every branch has ended.

A path is bounded in hops and branches: rules that send packets in circles end it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.paths.bridge import in_bridge
from wirecheck.paths.device_layer import framed, left, unwrapped
from wirecheck.paths.ip_layer import arrived, sent
from wirecheck.paths.journey import (
    Arrives,
    Bridged,
    Frame,
    Journey,
    Leaves,
    Received,
    Result,
    Sends,
    Switched,
)
from wirecheck.paths.place import World
from wirecheck.text import shortened

LONGEST_REASON = 300
MOST_HOPS = 200
MOST_BRANCHES = 500
"""Of one packet: backends of a Service times forks on their way."""


def followed(world: World, start: Journey) -> tuple[Journey, ...]:
    """Every branch of the packet's way, each with its result."""
    ended: list[Journey] = []
    waiting = [replace(start, sent=start.packet)]
    while waiting:
        journey = waiting.pop()
        if len(ended) + len(waiting) > MOST_BRANCHES:
            why = f"its way has more than {MOST_BRANCHES} branches"
            return (replace(start.undecided("path", why), share=1.0),)
        if len(journey.hops) > MOST_HOPS:
            journey = journey.undecided("path", f"it does not end after {MOST_HOPS} hops")
        if journey.result is not None:
            ended.append(journey)
        else:
            waiting += reversed(_onward(world, journey))
    return tuple(ended)


def _onward(world: World, journey: Journey) -> list[Journey]:
    """The branches after one more step. What cannot be read on a node ends what is known."""
    try:
        return [*islice(_next(world, journey), MOST_BRANCHES + 1)]
    except (FactMissingError, NotApplicable) as error:
        return [journey.undecided("path", str(error))]
    except ValueError as error:
        why = f"what {journey.at.place.node} reported cannot be read: {error}"
        return [journey.undecided("path", shortened(why, LONGEST_REASON))]


def _next(world: World, journey: Journey) -> Iterable[Journey]:
    match journey.at:
        case Sends() as at:
            return sent(journey, at)
        case Arrives() as at:
            return arrived(journey, at)
        case Leaves() as at:
            return left(world, journey, at)
        case Frame() as at:
            return framed(world, journey, at)
        case Switched() | Bridged() as at:
            return in_bridge(world, journey, at)
        case Received() as at:
            return _received(journey, at)


def _received(journey: Journey, at: Received) -> Iterator[Journey]:
    if journey.carried:
        yield unwrapped(journey, at.place)
    else:
        yield replace(journey, result=Result.REACHES)
