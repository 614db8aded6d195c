"""Which ports of a peer can be reached: allowed, inconclusive, or denied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from wirecheck.policy.ports import ALL_PORTS, PROTOCOLS, PortSet


class Direction(StrEnum):
    """The direction of a connection, seen from the pods that a policy selects."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class Decision(StrEnum):
    """What the API's policies mean for a connection."""

    ALLOWED = "allowed"
    DENIED = "denied"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Part:
    """Some ports, and why: the rule that allows them, or what leaves them undecided."""

    ports: PortSet
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the policies mean for one connection, and why."""

    decision: Decision
    reason: str


@dataclass(frozen=True)
class Reach:
    """The ports that can be reached. Those that neither part has are denied."""

    allowed: tuple[Part, ...] = ()
    doubts: tuple[Part, ...] = ()
    isolated_by: tuple[str, ...] = ()
    """The policies that isolate one of the two ends: `NetworkPolicy shop/deny (ingress)`."""
    denied: tuple[Part, ...] = ()
    """Those of the denied ports that rules of admin policies deny."""

    @cached_property
    def allowed_ports(self) -> PortSet:
        return union(self.allowed)

    @cached_property
    def doubtful_ports(self) -> PortSet:
        return union(self.doubts) - self.allowed_ports

    @cached_property
    def denied_ports(self) -> PortSet:
        return (self.allowed_ports | union(self.doubts)).complement

    @property
    def reasons_of_denial(self) -> Iterator[str]:
        """The rules that deny ports, and the policies that isolate an end."""
        yield from (each.reason for each in self.denied)
        if self.isolated_by:
            yield f"isolated by {', '.join(self.isolated_by)}"

    @property
    def is_open(self) -> bool:
        """Whether no policy has a say."""
        return not (self.isolated_by or self.doubts or self.denied)

    def answer(self, protocol: str, port: int) -> Answer:
        """What it means for a connection to one port."""
        if protocol not in PROTOCOLS:
            return self._undefined(protocol)
        for parts, decision in (
            (self.allowed, Decision.ALLOWED),
            (self.doubts, Decision.INCONCLUSIVE),
            (self.denied, Decision.DENIED),
        ):
            for each in parts:
                if each.ports.has(protocol, port):
                    return Answer(decision, each.reason)
        names = ", ".join(self.isolated_by)
        return Answer(Decision.DENIED, f"no rule allows it; isolated by {names}")

    def _undefined(self, protocol: str) -> Answer:
        if self.is_open:
            return Answer(Decision.ALLOWED, OPEN)
        undefined = f"the API does not define NetworkPolicy for {protocol}"
        return Answer(Decision.INCONCLUSIVE, undefined)


OPEN = "no policy isolates the pod"
EVERYTHING = Reach((Part(ALL_PORTS, OPEN),))


def union(parts: Iterable[Part]) -> PortSet:
    """The ports of all parts."""
    return PortSet.of(range_ for each in parts for range_ in each.ports.ranges)


def both(egress: Reach, ingress: Reach) -> Reach:
    """What the source's policies and the destination's policies mean together.

    A connection needs both: the source may send, and the destination may receive.
    """
    allowed = tuple(
        Part(common, _reason_of_both(sent.reason, received.reason))
        for sent in egress.allowed
        for received in ingress.allowed
        if (common := sent.ports & received.ports)
    )
    sure = union(allowed)
    doubts = [
        Part(left, each.reason)
        for one, other in ((egress, ingress), (ingress, egress))
        for each in one.doubts
        if (left := (each.ports & _possible(one, other)) - sure)
    ]
    isolated_by = tuple(dict.fromkeys((*egress.isolated_by, *ingress.isolated_by)))
    return Reach(allowed, tuple(doubts), isolated_by, (*egress.denied, *ingress.denied))


def _possible(one: Reach, other: Reach) -> PortSet:
    """The ports that `one` leaves undecided and `other` does not deny."""
    return one.doubtful_ports & (other.allowed_ports | other.doubtful_ports)


def _reason_of_both(sent: str, received: str) -> str:
    if sent == received:
        return sent
    return "; ".join(each for each in (sent, received) if each != OPEN)


def with_doubt(reach: Reach, reason: str, *, of_all: bool) -> Reach:
    """The same, with a doubt about what was denied or, with `of_all`, about everything."""
    doubt = Part(ALL_PORTS, reason)
    if of_all:
        return Reach((), (doubt,), reach.isolated_by)
    return Reach(reach.allowed, (*reach.doubts, doubt), reach.isolated_by, reach.denied)
