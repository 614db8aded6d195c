"""Packets between all pods, followed once for all pairs that are alike for the nodes on the way.

The pods of a node are one class where they are attached alike and no rule tells them apart, those
of other nodes where the node sends packets to them alike. A node's part in the path of a packet is
the same for all pairs of two classes, so each class is followed in both directions, to and from
one pod of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.catalogue.findings import NotApplicable
from wirecheck.model.pod_classes import End, PodClass, PodClasses, policy_of
from wirecheck.model.traced import SELECTED, Followed, Traced, why_open, worst_of
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen
from wirecheck.paths.answer import Path, follows_policies, paths, takes
from wirecheck.paths.ends import Destination
from wirecheck.paths.journey import Result
from wirecheck.paths.place import Place
from wirecheck.paths.sentence import MISLED
from wirecheck.paths.start import from_pod
from wirecheck.policy.connections import Connections

FAMILIES = (4, 6)
MOST_PAIRS = 64
"""Of two classes each, of one node; a healthy node has a few."""
TOO_MANY = "the node has more kinds of pods than are followed with each other"
NOTHING_LISTENS = 9
"""The port of packets to pods in which no process listens, over UDP, which needs none."""


@dataclass(frozen=True)
class Pair:
    """One pod of each of two classes, and how many pairs of pods they stand for."""

    source: End
    target: End
    count: int


@dataclass(frozen=True)
class PodPairs:
    """The pairs of pods whose packets one node sends or receives."""

    seen: NodeSeen
    routes: NodeRoutes
    classes: PodClasses

    @cached_property
    def followed(self) -> Followed:
        """The path of each pair of classes.

        Raises NotApplicable if the node has no such pods, or if nothing could be decided.
        """
        return Followed.of([*self._all])

    @property
    def _all(self) -> Iterator[Traced]:
        found = [*self._pairs]
        if not found:
            raise NotApplicable("no two pods with networks of their own and known addresses")
        for each in found[:MOST_PAIRS]:
            yield self._traced(each)
        for each in found[MOST_PAIRS : MOST_PAIRS + 1]:
            yield _traced(each, _to(each, 0, ""), unknown=TOO_MANY)

    @property
    def _pairs(self) -> Iterator[Pair]:
        """One of each two classes, those with the first class of each side before others."""
        near = {family: self.classes.near(family) for family in FAMILIES}
        far = {family: self.classes.far(family) if near[family] else () for family in FAMILIES}
        for family in FAMILIES:
            for each in far[family]:
                yield from self._both_ways(near[family][0], each)
            for each in near[family]:
                yield from self._within(each)
                if each is not near[family][0]:
                    yield from self._both_ways(each, near[family][0])
        for family in FAMILIES:
            for number, each in enumerate(near[family][1:], start=1):
                for other in (*far[family], *near[family][number + 1 :]):
                    yield from self._both_ways(each, other)

    def _within(self, of: PodClass) -> Iterator[Pair]:
        """Two pods of one class: a bridge can keep them apart because of what they share."""
        first = of.chosen(self.classes.is_free)
        second = of.chosen(self.classes.is_free, first[1]) if first else None
        if first and second:
            yield Pair(first, second, len(of.ends) * (len(of.ends) - 1))

    def _both_ways(self, one: PodClass, other: PodClass) -> Iterator[Pair]:
        a, b = one.chosen(self.classes.is_free), other.chosen(self.classes.is_free)
        if a and b:
            count = len(one.ends) * len(other.ends)
            yield Pair(a, b, count)
            yield Pair(b, a, count)

    # The paths.

    def _traced(self, pair: Pair) -> Traced:
        (_, source), (_, target) = pair.source, pair.target
        there = self.classes.world.place_of(target)
        port = _port_of(there, pair.target) if isinstance(there, Place) else 0
        to = _to(pair, port or NOTHING_LISTENS, "tcp" if port else "udp")
        if why := self._why_open(pair, to):
            return _traced(pair, to, unknown=why)
        start = from_pod(self.classes.world, source, to)
        if isinstance(start, str):
            return _traced(pair, to, unknown=start)
        worst = worst_of(paths(self.classes.world, start))
        is_open = worst.result is Result.UNDECIDED and not self._is_misled(pair, worst)
        why = why_open(worst, self.classes.host) if is_open else ""
        return _traced(pair, to, path=worst, unknown=why)

    def _is_misled(self, pair: Pair, path: Path) -> bool:
        """Whether the packet leaves this node by a wrong route: others need none to pods."""
        hop = path.decisive
        if hop is None or hop.node != self.seen.name or not path.reason.startswith(MISLED):
            return False
        ends = {pair.source[1].node_name, pair.target[1].node_name}
        return bool(ends & self._misrouted)

    @cached_property
    def _misrouted(self) -> frozenset[str]:
        """The nodes to whose pods this one should have a route of its own, and has not."""
        try:
            return frozenset(e.peer_ref.name for e in self.routes.peer_routes if not e.is_right)
        except NotApplicable:
            return frozenset()

    def _why_open(self, pair: Pair, to: Destination) -> str:
        """Why policies leave it open whether packets are to arrive; empty if they are."""
        cluster = self.seen.cluster
        if not any(policy_of(cluster, pod) for _, pod in (pair.source, pair.target)):
            return ""
        if not follows_policies(cluster):
            return SELECTED
        policies = Connections.of(cluster)
        if policies.allow(pair.source[0], to.address, to.protocol, to.port):
            return ""
        return "policies do not allow connections of the two pods, or may not"


def _to(pair: Pair, port: int, protocol: str) -> Destination:
    where, pod = pair.target
    return Destination(f"Pod {pod.namespace}/{pod.name}", where, port, protocol)


def _traced(pair: Pair, to: Destination, *, path: Path | None = None, unknown: str = "") -> Traced:
    (_, source), (_, target) = pair.source, pair.target
    ends = (source.ref, target.ref)
    return Traced(source.node_name, source, to, pair.count, path, unknown, ends)


def _port_of(place: Place, end: End) -> int:
    """A TCP port at which a process of the pod listens on the address; 0 if none does."""
    declared = [
        each.container_port
        for container in end[1].object.spec.containers
        for each in container.ports
        if each.protocol == "TCP"
    ]
    record = place.netns.record
    if record.listeners is None:
        return next(iter(declared), 80)
    taking = {e.port for e in record.listeners if takes(e, str(end[0]))}
    return next((each for each in declared if each in taking), min(taking, default=0))
