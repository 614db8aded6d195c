"""Packets between all pods, followed once for all pairs that are alike for the nodes on the way.

The pods of a node are one class where they are attached alike and no rule tells them apart, those
of other nodes where the node sends packets to them alike. A node's part in the path of a packet is
the same for all pairs of two classes, so each class is followed in both directions, to and from
one pod of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref, Unanswered
from wirecheck.model.made_connections import UNREAD
from wirecheck.model.path_world import path_nodes
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen
from wirecheck.paths.answer import Path, enforces_by_rules, paths, takes
from wirecheck.paths.attachment import Attachments
from wirecheck.paths.ends import Destination, trace_arguments
from wirecheck.paths.journey import Result
from wirecheck.paths.named_prefixes import Span, filtered_spans, routed_spans
from wirecheck.paths.onward import Onward
from wirecheck.paths.place import Machine, Place, World
from wirecheck.paths.pod_addresses import PodAddresses, Section
from wirecheck.paths.sentence import MISLED, end_of, lines_of
from wirecheck.paths.start import from_pod
from wirecheck.policy.connections import Connections
from wirecheck.policy.reach import Decision
from wirecheck.text import plural, shortened

FAMILIES = (4, 6)
MOST_PAIRS = 64
"""Of two classes each, of one node; a healthy node has a few."""
TOO_MANY = "the node has more kinds of pods than are followed with each other"
LONGEST = 300
WORST_FIRST = (Result.DIES, Result.UNDECIDED, Result.REACHES)
NOTHING_LISTENS = 9
"""The port of packets to pods in which no process listens, over UDP, which needs none."""

End = tuple[IPAddress, Pod]


@dataclass(frozen=True)
class PodClass:
    """Pods whose packets a node treats alike."""

    ends: Sequence[End]

    def chosen(self, is_free: Callable[[Pod], bool], without: Pod | None = None) -> End | None:
        """One of them, if possible one that no policy selects."""
        others = [each for each in self.ends if each[1] is not without]
        return next((e for e in others if is_free(e[1])), others[0] if others else None)


@dataclass(frozen=True)
class Pair:
    """One pod of each of two classes, and how many pairs of pods they stand for."""

    source: End
    target: End
    count: int


@dataclass(frozen=True)
class Traced:
    """The path between the two pods of a pair."""

    pair: Pair
    to: Destination
    path: Path | None
    """The worst branch; None if its beginning is not known."""
    unknown: str = ""
    """Why it cannot be decided; empty if it is."""

    @property
    def dies(self) -> bool:
        return self.path is not None and not self.unknown and self.path.result is not Result.REACHES

    @property
    def line(self) -> Hashable:
        """What decides: equal for packets that die of one cause."""
        hop = self.path.decisive if self.path else None
        if hop is None or self.path is None:
            return None
        return (hop.node, hop.netns, hop.stage, lines_of(self.path) or hop.text)


@dataclass(frozen=True)
class Lost:
    """Pairs whose packets die at one line."""

    pairs: Sequence[Traced]

    @property
    def _first(self) -> Traced:
        return self.pairs[0]

    @property
    def part(self) -> str:
        """`from shop/web-1 to Pod shop/db-0`."""
        source = self._first.pair.source[1]
        return f"from {source.namespace}/{source.name} to {self._first.to.label}"

    @property
    def found(self) -> str:
        """Where the packet dies, and how many other pairs share that."""
        path, others = self._first.path, sum(each.pair.count for each in self.pairs) - 1
        shared = f"; up to {plural(others, 'other pair')} of pods share this" if others else ""
        return f"{end_of(path) if path else ''}{shared}"

    @property
    def sent(self) -> Unanswered:
        """The packet, so that the report can trace it on."""
        to = self._first.to
        return Unanswered(str(to.address), to.port, to.protocol, self._first.pair.source[1].ref)

    @property
    def trace(self) -> str:
        """The arguments of `wirecheck trace` for it."""
        sent, source = self.sent, self._first.pair.source[1]
        return trace_arguments(source.ref, source.node_name, sent.address, sent.port, sent.protocol)

    @property
    def concerns(self) -> tuple[Ref, ...]:
        """The two pods."""
        return self._first.pair.source[1].ref, self._first.pair.target[1].ref


@dataclass(frozen=True)
class PodPairs:
    """The pairs of pods whose packets one node sends or receives."""

    seen: NodeSeen
    routes: NodeRoutes

    @property
    def lost(self) -> Sequence[Lost]:
        """Those whose packets or answers die, by the line that decides it."""
        groups: dict[Hashable, list[Traced]] = {}
        for each in self.traced:
            if each.dies:
                groups.setdefault(each.line, []).append(each)
        return [*map(Lost, groups.values())]

    @property
    def undecided(self) -> Iterator[str]:
        """Why it is not known where packets end, once for each pair."""
        return (each.unknown for each in self.traced if each.unknown)

    @property
    def arriving(self) -> int:
        """How many pairs were followed to the end, and back."""
        return sum(not each.unknown and not each.dies for each in self.traced)

    @cached_property
    def traced(self) -> Sequence[Traced]:
        """The path of each pair of classes.

        Raises NotApplicable if the node has no such pods, or if nothing could be decided.
        """
        found = [*self._all]
        if all(each.unknown for each in found):
            raise NotApplicable(f"where packets end cannot be decided: {found[0].unknown}")
        return found

    @property
    def _all(self) -> Iterator[Traced]:
        found = [*self._pairs]
        if not found:
            raise NotApplicable("no two pods with networks of their own and known addresses")
        for each in found[:MOST_PAIRS]:
            yield self._traced(each)
        for each in found[MOST_PAIRS : MOST_PAIRS + 1]:
            yield Traced(each, _to(each, 0, ""), None, TOO_MANY)

    @property
    def _pairs(self) -> Iterator[Pair]:
        """One of each two classes, those with the first class of each side before others."""
        near = {family: self._near(family) for family in FAMILIES}
        far = {family: self._far(family) if near[family] else () for family in FAMILIES}
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
        first = of.chosen(self._is_free)
        second = of.chosen(self._is_free, first[1]) if first else None
        if first and second:
            yield Pair(first, second, len(of.ends) * (len(of.ends) - 1))

    def _both_ways(self, one: PodClass, other: PodClass) -> Iterator[Pair]:
        a, b = one.chosen(self._is_free), other.chosen(self._is_free)
        if a and b:
            count = len(one.ends) * len(other.ends)
            yield Pair(a, b, count)
            yield Pair(b, a, count)

    # The classes.

    def _near(self, family: int) -> Sequence[PodClass]:
        """The classes of the node's own pods: without policies and with many pods first."""
        found: dict[Hashable, list[End]] = {}
        for section in self._sections:
            if section.peer.name == self.seen.name and section.family == family:
                for end in section.pods:
                    shape = self._shape(end[1])
                    if shape is not None:
                        key = (self._is_free(end[1]), shape, section.inside)
                        found.setdefault(key, []).append(end)
        return sorted(map(PodClass, found.values()), key=self._place)

    def _place(self, of: PodClass) -> tuple[bool, int]:
        return not self._is_free(of.ends[0][1]), -len(of.ends)

    def _far(self, family: int) -> Sequence[PodClass]:
        """The classes of other nodes' pods, those of the next node in the order first."""
        onward = Onward(self._machine.host, self._filtered)
        found: dict[Hashable, list[Section]] = {}
        for each in self._others:
            if each.family == family:
                found.setdefault(onward.shape(each), []).append(each)
        return [PodClass([e for section in of for e in section.pods]) for of in found.values()]

    @cached_property
    def _others(self) -> Sequence[Section]:
        """The sections of other nodes, beginning with those of the next one in the order."""
        places, name = self.seen.cluster.places, self.seen.name
        own, count = places[name], len(places)
        found = [each for each in self._sections if each.peer.name != name]
        return sorted(found, key=lambda each: (each.peer.place - own) % count)

    @cached_property
    def _sections(self) -> Sequence[Section]:
        """Without pods of nodes that were not visited, or that are no ordinary nodes."""
        known = PodAddresses.of(self.seen.cluster)
        routed = routed_spans(self._machine.host, known.ranges)
        return [*known.sections(routed, self._filtered)]

    @cached_property
    def _filtered(self) -> frozenset[Span]:
        return filtered_spans(self._machine.host)

    def _shape(self, pod: Pod) -> Hashable:
        """How the pod is attached; None if that was not seen."""
        key = pod.ref.object_key
        if key not in self._shapes:
            self._shapes[key] = self._attached(pod)
        return self._shapes[key]

    @cached_property
    def _shapes(self) -> dict[tuple[str, str, str], Hashable]:
        return {}

    def _attached(self, pod: Pod) -> Hashable:
        place = self._world.place_of(pod)
        return None if isinstance(place, str) else self._attachments.shape(place)

    @cached_property
    def _attachments(self) -> Attachments:
        return Attachments(self._machine.host)

    # The paths.

    def _traced(self, pair: Pair) -> Traced:
        (_, source), (_, target) = pair.source, pair.target
        there = self._world.place_of(target)
        port = _port_of(there, pair.target) if isinstance(there, Place) else 0
        to = _to(pair, port or NOTHING_LISTENS, "tcp" if port else "udp")
        if why := self._why_open(pair, to):
            return Traced(pair, to, None, why)
        start = from_pod(self._world, source, to)
        if isinstance(start, str):
            return Traced(pair, to, None, start)
        worst = min(paths(self._world, start), key=_gravity)
        is_open = worst.result is Result.UNDECIDED and not self._is_misled(pair, worst)
        return Traced(pair, to, worst, self._shown(worst) if is_open else "")

    def _shown(self, path: Path) -> str:
        """Why the path is open: for a document of an older program one reason is enough."""
        is_old = self._machine.host.netns.record.programs is None
        return UNREAD if is_old and path.open else shortened(path.reason, LONGEST)

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

    def _is_free(self, pod: Pod) -> bool:
        return not _policy_of(self.seen.cluster, pod)

    def _why_open(self, pair: Pair, to: Destination) -> str:
        """Why policies leave it open whether packets are to arrive; empty if they are."""
        cluster = self.seen.cluster
        if not any(_policy_of(cluster, pod) for _, pod in (pair.source, pair.target)):
            return ""
        if not any(map(enforces_by_rules, cluster.cni_agents)):
            return "a policy selects one of the two pods, and is not followed"
        answer = self._connections.answer(pair.source[0], to.address, to.protocol, to.port)
        if answer is None or answer.decision is Decision.ALLOWED:
            return ""
        return "policies do not allow connections of the two pods, or may not"

    @cached_property
    def _connections(self) -> Connections:
        return Connections.of(self.seen.cluster)

    @cached_property
    def _world(self) -> World:
        return path_nodes(self.seen.cluster).world

    @cached_property
    def _machine(self) -> Machine:
        assert self.seen.facts, "a node that was not visited raises why"
        found = self._world.visited(self.seen.name)
        if isinstance(found, str):
            raise FactMissingError(found)
        return found


def _to(pair: Pair, port: int, protocol: str) -> Destination:
    where, pod = pair.target
    return Destination(f"Pod {pod.namespace}/{pod.name}", where, port, protocol)


def _gravity(path: Path) -> tuple[int, float]:
    return WORST_FIRST.index(path.result), -path.share


def _policy_of(cluster: ClusterSeen, pod: Pod) -> str:
    policies, own = cluster.pod_index.policies, pod.object
    return policies.selecting(own) or policies.egress_of(own) or policies.ingress_of(own)


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
