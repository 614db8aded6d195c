"""What policies mean for the probes of a run, where a packet filter enforces them.

A probe that policies deny has to fail, and one that succeeds proves that they are not enforced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.dns_lookup import Lookup
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.dns import NodeDns
from wirecheck.node.reach import NodeReach, Reached
from wirecheck.policy.enforcement import PolicyEnforcement
from wirecheck.policy.reach import Decision, Direction
from wirecheck.policy.ways import Deviation


@dataclass(frozen=True)
class Denial:
    """Connections that the policies of one pod deny."""

    pod: Pod
    direction: Direction
    reason: str


@dataclass(frozen=True)
class ProbePolicies:
    """The policies of a cluster, asked about the probes of one node."""

    enforcement: PolicyEnforcement
    reach: NodeReach
    dns: NodeDns

    def denies(self, connection: Reached) -> bool:
        """Return whether policies deny the connection and a packet filter enforces them."""
        return self._are_enforced and self._denial_of(connection) is not None

    def denies_query(self, pod: Pod, lookup: Lookup) -> bool:
        """Return whether policies deny the query to all the places where it can arrive.

        False unless a packet filter enforces them.
        """
        if not (self._are_enforced and pod.restricted_by and lookup.is_unanswered):
            return False
        destinations = self.dns.destinations_of(lookup)
        return bool(destinations) and all(
            each.pod is not None and self._denial(pod, Pod(each.pod), each.protocol, each.port)
            for each in destinations
        )

    @cached_property
    def _are_enforced(self) -> bool:
        try:
            self.enforcement.require_enforcer()
            return self.enforcement.has_enforcer
        except (FactMissingError, NotApplicable):
            return False

    @property
    def deviations(self) -> Iterator[Deviation]:
        """What the node does otherwise than policies, by its rules and by connections made.

        Those of pods of other nodes are left out: what enforces policies for them is there. Raises
        NotApplicable if no packet filter enforces policies on the node.
        """
        by_rules = self.enforcement.deviations
        made = self._made()
        for deviation in by_rules:
            key = _key(deviation.pod, deviation.direction)
            if not deviation.is_open:
                yield deviation
            elif not (deviation.inconclusive and key in made):
                made.pop(key, None)
                yield deviation
        yield from made.values()

    def _made(self) -> dict[tuple[str, Direction], Deviation]:
        """What connections prove that were made although policies deny them."""
        made: dict[tuple[str, Direction], Deviation] = {}
        for each in self.reach.of_pods:
            denial = self._denial_of(each) if each.contact.made else None
            if denial is not None and denial.pod.node_name == self.enforcement.seen.name:
                made.setdefault(_key(denial.pod, denial.direction), _proven(each, denial))
        return made

    def _denial_of(self, connection: Reached) -> Denial | None:
        """The denial of a TCP connection from pod to pod."""
        source, target = connection.source, connection.target
        if source is None or target is None or connection.is_answered_here:
            return None
        return self._denial(source, target, "TCP", connection.contact.port)

    def _denial(self, source: Pod, target: Pod, protocol: str, port: int) -> Denial | None:
        """The denial of the connection; None unless it is certain."""
        pods = self.enforcement.pods
        answer = pods.expected.answer(source, target, protocol, port)
        if answer.decision is not Decision.DENIED:
            return None
        class_of = pods.expected.vocabulary.class_of
        sent = pods.one_way(class_of(source), Direction.EGRESS, class_of(target))
        if sent.answer(protocol, port).decision is Decision.DENIED:
            return Denial(source, Direction.EGRESS, answer.reason)
        return Denial(target, Direction.INGRESS, answer.reason)


def _key(pod: Pod, direction: Direction) -> tuple[str, Direction]:
    return pod.object.metadata.uid, direction


def _proven(connection: Reached, denial: Denial) -> Deviation:
    source, target = connection.source, connection.target
    assert source is not None
    assert target is not None
    other = target if denial.direction is Direction.EGRESS else source
    from_to = "to" if denial.direction is Direction.EGRESS else "from"
    port = connection.contact.port
    return Deviation(
        denial.pod,
        denial.direction,
        is_open=True,
        expected=f"TCP {port} {from_to} {other.namespace}/{other.name} denied: {denial.reason}",
        found=f"a connection was made {connection.ref.part}",
        peers=(other,),
    )
