"""What the checks of policies must report of a scene, from every connection of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from testbed.enforcer_referee.comparing import FORWARDED, PORTS, REFUSED, Comparison, decision
from testbed.enforcer_referee.reading import Subject
from wirecheck.policy.reach import Decision, Direction, Reach

Key = tuple[str, Direction, bool]
"""The address of a pod, the direction, and whether the node is too open."""


def reported(seen: Comparison) -> set[Key]:
    """The certain deviations of the node that the checks report."""
    return {
        (each.pod.object.status.pod_ips[0].ip, each.direction, each.is_open)
        for each in seen.enforcement.deviations
        if not each.inconclusive
    }


def due(seen: Comparison, among: Iterable[tuple[int, int]] | None = None) -> set[Key]:
    """The deviations that there are, connection by connection.

    `among` are the numbers of pairs and ports that count; all of them if it is None.
    """
    counted = seen.places if among is None else among
    return {key for each in counted for key in _due(seen, *each)}


def _due(seen: Comparison, at: int, number: int) -> Iterator[Key]:
    source, target = seen.pairs[at]
    reaches, port, fate = seen.reaches_of(at), PORTS[number], seen.fate(at, number)
    for pod, direction, reach, peer in _sides(source, target, reaches):
        if fate == FORWARDED:
            if reach.answer(port[0].upper(), port[1]).decision is Decision.DENIED:
                yield pod.address, direction, True
        elif (
            fate == REFUSED
            and decision(reaches, port) is Decision.ALLOWED
            and _counts(direction, reach, peer)
        ):
            yield pod.address, direction, False


def _sides(
    source: Subject, target: Subject, reaches: Sequence[Reach]
) -> list[tuple[Subject, Direction, Reach, Subject]]:
    found = []
    if source.is_local:
        found.append((source, Direction.EGRESS, reaches[0], target))
    if target.is_local:
        found.append((target, Direction.INGRESS, reaches[-1], source))
    return found


def _counts(direction: Direction, reach: Reach, peer: Subject) -> bool:
    """Whether what the policies allow has to be forwarded by this pod's rules."""
    if peer.is_local:
        return direction is Direction.INGRESS
    return peer.is_pod or not reach.is_open
