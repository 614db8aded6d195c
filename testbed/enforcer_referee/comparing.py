"""What is expected, what the node enforces, and how kube-router reads it: for every connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from itertools import product

from testbed.enforcer_referee.reading import EVERY_FLAW, Flaw, Range, Reading, Subject, subjects
from testbed.enforcer_referee.scenes import BRIDGED, NODE, OUTSIDE, ROUTED, PolicyScene
from testbed.policy_referee.random_clusters import NUMBERS, PROTOCOLS
from testbed.referee.judging import Sight
from wirecheck.addresses import address
from wirecheck.api_index.pod import Pod
from wirecheck.dataplane.rules.followed_packets import Fates, followed
from wirecheck.dataplane.rules.many_packets import Ends, ManyPackets
from wirecheck.dataplane.rules.set_members import Port
from wirecheck.policy.cluster_pods import ClusterPods
from wirecheck.policy.enforcement import PolicyEnforcement
from wirecheck.policy.peers import Outside, Peer, PodClass
from wirecheck.policy.reach import Decision, Direction, Reach

PORTS: tuple[Port, ...] = tuple(
    (protocol.lower(), number)
    for protocol in PROTOCOLS
    for number in sorted({n + d for n in NUMBERS for d in (-1, 0, 1, 2, 400, 401)} | {40_999})
)
"""The ports that policies name, their neighbours, the ends of ranges, and one that nobody names."""
Places = Sequence[tuple[int, int]]
"""Connections, by the numbers of their pairs and ports."""
FORWARDED, REFUSED, UNKNOWN = "forwarded", "refused", "not known"


class Kind(StrEnum):
    """What came out for a connection."""

    AGREES = "as expected"
    UNDEFINED = "undefined by the API, and as kube-router reads it"
    FLAW = "otherwise, as kube-router reads it"
    WRONG = "disagreement"


@dataclass(frozen=True, slots=True)
class Connection:
    """One first packet that the node forwards."""

    source: Subject
    target: Subject
    port: Port

    @property
    def protocol(self) -> str:
        return self.port[0].upper()

    def __str__(self) -> str:
        name, number = self.port
        return f"{self.source.address} to {self.target.address}, {name} {number}"


@dataclass(frozen=True)
class Comparison:
    """One scene, and what was read of the node and the API."""

    scene: PolicyScene
    sight: Sight

    @cached_property
    def enforcement(self) -> PolicyEnforcement:
        """What every check of policies uses."""
        return self.sight.node.policy_enforcement

    @cached_property
    def subjects(self) -> list[Subject]:
        """All ends of connections."""
        return subjects(self.scene.pods, NODE, OUTSIDE)

    @cached_property
    def pairs(self) -> list[tuple[Subject, Subject]]:
        """Every two ends of which one is a pod of the node."""
        found = self.subjects
        return [
            (source, target)
            for source in found
            for target in found
            if source is not target and (source.is_local or target.is_local)
        ]

    @cached_property
    def places(self) -> Places:
        """Every connection."""
        return [*product(range(len(self.pairs)), range(len(PORTS)))]

    @cached_property
    def packets(self) -> ManyPackets:
        """One packet for each pair and port."""
        return ManyPackets(tuple(_ends(*pair) for pair in self.pairs), PORTS)

    @cached_property
    def fates(self) -> Fates:
        """What the node's rules do with them, as wirecheck follows these."""
        filters = self.enforcement.filters
        return followed(filters.stages(4), self.packets, filters.sets)

    def fate(self, at: int, port: int) -> str:
        """The fate of the packet of a pair to a port."""
        bit = self.packets.of_end(at, 1 << port)
        if bit & self.fates.undecided:
            return UNKNOWN
        return FORWARDED if bit & self.fates.passed else REFUSED

    # Expected.

    @cached_property
    def _pods(self) -> ClusterPods:
        return ClusterPods.of(self.sight.node.cluster)

    @cached_property
    def _peers(self) -> dict[str, Peer]:
        vocabulary = self._pods.expected.vocabulary
        found: dict[str, Peer] = {
            each: Outside(vocabulary.block_map.covering([address(each)])) for each in OUTSIDE
        }
        for pod in self.sight.api.pods:
            found[pod.status.pod_ips[0].ip] = vocabulary.class_of(Pod(pod))
        return found

    def reaches_of(self, at: int) -> Sequence[Reach]:
        """What the policies of each end of a pair that is on the node mean."""
        if at not in self._reaches:
            self._reaches[at] = self._of_ends(*self.pairs[at])
        return self._reaches[at]

    @cached_property
    def _reaches(self) -> dict[int, Sequence[Reach]]:
        return {}

    def _of_ends(self, source: Subject, target: Subject) -> Sequence[Reach]:
        sent, received = self._peers[source.address], self._peers[target.address]
        found = []
        if source.is_local:
            assert isinstance(sent, PodClass)
            found.append(self._pods.expected.one_way(sent, Direction.EGRESS, received))
        if target.is_local:
            assert isinstance(received, PodClass)
            found.append(self._pods.expected.one_way(received, Direction.INGRESS, sent))
        return found

    # Together.

    def readings(self, flaws: frozenset[Flaw] = EVERY_FLAW) -> Reading:
        """How kube-router reads the policies."""
        namespaces = {e["metadata"]["name"]: e["metadata"]["labels"] for e in self.scene.namespaces}
        pods = [each for each in self.subjects if each.is_pod]
        return Reading(namespaces, pods, self.scene.policies, flaws)

    def outcomes(self) -> Iterator[tuple[Connection, Kind, str]]:
        """Every connection, what came out, and the flaw or both sides."""
        most, least = self.readings(), self.readings(EVERY_FLAW - {Flaw.SHARED_NAMES})
        without = {flaw: self.readings(EVERY_FLAW - {flaw}) for flaw in Flaw}
        for at, (source, target) in enumerate(self.pairs):
            spared = cache(lambda flaw, ends=(source, target): without[flaw].ranges(*ends))
            reaches = self.reaches_of(at)
            bounds = [each.ranges(source, target) for each in (least, most)]
            for number, port in enumerate(PORTS):
                found = self.fate(at, number)
                wanted = decision(reaches, port)
                read = {FORWARDED if _lets(each, port) else REFUSED for each in bounds}
                connection = Connection(source, target, port)
                yield connection, *_kind(wanted, found, read, connection, spared)


def _ends(source: Subject, target: Subject) -> Ends:
    devices = _device(source), _device(target)
    is_bridged = devices == ("cni0", "cni0")
    return Ends(address(source.address), address(target.address), *devices, is_bridged)


def _device(of: Subject) -> str:
    if not of.is_local:
        return "uplink"
    is_bridged = any(each.address == of.address for each in BRIDGED)
    return "cni0" if is_bridged else ROUTED.device


def decision(reaches: Sequence[Reach], port: Port) -> Decision:
    """What the policies of both ends mean together."""
    found = {each.answer(port[0].upper(), port[1]).decision for each in reaches}
    if Decision.DENIED in found:
        return Decision.DENIED
    return Decision.INCONCLUSIVE if Decision.INCONCLUSIVE in found else Decision.ALLOWED


def _lets(chains: Sequence[Sequence[Range]], port: Port) -> bool:
    protocol, number = port[0].upper(), port[1]
    return all(
        any(p in ("", protocol) and first <= number <= last for p, first, last in ranges)
        for ranges in chains
    )


def _kind(
    wanted: Decision,
    found: str,
    read: set[str],
    of: Connection,
    spared: Callable[[Flaw], Sequence[Sequence[Range]]],
) -> tuple[Kind, str]:
    if found not in read:
        return Kind.WRONG, f"{of}: {wanted}, {found}; as kube-router reads it {'/'.join(read)}"
    if wanted is Decision.INCONCLUSIVE:
        return Kind.UNDEFINED, ""
    right = FORWARDED if wanted is Decision.ALLOWED else REFUSED
    if found == right:
        return Kind.AGREES, ""
    for flaw in Flaw:
        if (FORWARDED if _lets(spared(flaw), of.port) else REFUSED) == right:
            return Kind.FLAW, flaw
    return Kind.FLAW, "several of these together"
