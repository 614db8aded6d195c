"""What a node does with connections that the API leaves undefined: nodes should not differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wirecheck.policy.enforcement import PolicyEnforcement
from wirecheck.policy.peers import PodClass
from wirecheck.policy.reach import Direction, Reach
from wirecheck.policy.ways import Followed

FORWARDED, REFUSED = "forwarded", "refused"
MOST = 2_000
"""So many connections of one node are kept, in the order of its pods."""


@dataclass(frozen=True, slots=True)
class Undefined:
    """Connections of pods of one class with pods of another one, to some ports."""

    subject: PodClass
    direction: Direction
    peer: PodClass
    family: int
    ports: str
    reason: str


def undefined_on(of: PolicyEnforcement) -> Mapping[Undefined, str]:
    """What the node does with such connections between its pods and those of other nodes.

    Only if it does the same with all of them, and this is certain. Nothing if rules of policies
    are unknown: they may tell pods apart that count as one class.
    """
    if not of.seen.cluster.api.policy_rules_read:
        return {}
    found: dict[Undefined, str] = {}
    for each in of.all_followed:
        if len(found) >= MOST:
            break
        for key, result in _of_way(of, each):
            found[key] = result if found.get(key, result) == result else ""
    return {key: result for key, result in found.items() if result}


def _of_way(of: PolicyEnforcement, each: Followed) -> Iterator[tuple[Undefined, str]]:
    way, subject = each.way, each.way.subject.peer
    assert isinstance(subject, PodClass)
    isolation = of.pods.expected.isolation
    selecting = isolation.selecting(subject, way.direction)
    if isolation.beside(subject, way.direction)[0] or any(
        isolation.is_odd(e) for e, _ in selecting
    ):
        return  # What these policies name is unknown, so they may tell pods of the class apart.
    for at, (peer, reach) in enumerate(zip(way.peers, way.own, strict=True)):
        if not reach.doubts or peer.is_local:
            continue
        result = _result(each, at, reach)
        for of_peer in peer.kinds:
            if isinstance(of_peer, PodClass):
                yield (
                    Undefined(
                        subject,
                        way.direction,
                        of_peer,
                        way.subject.address.version,
                        str(reach.doubtful_ports),
                        reach.doubts[0].reason,
                    ),
                    result,
                )


def _result(each: Followed, at: int, reach: Reach) -> str:
    """`forwarded` or `refused`; empty if the node does both, or it is not known."""
    ports, packets = each.way.ports, each.way.packets
    bits = packets.of_end(at, ports.within(reach.doubtful_ports) & ports.of_policies)
    if not bits or bits & each.fates.undecided:
        return ""
    if not bits & ~each.fates.passed:
        return FORWARDED
    return "" if bits & ~each.fates.refused else REFUSED
