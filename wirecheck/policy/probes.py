"""What policies mean for the probes of a run, where a packet filter enforces them.

A probe that policies deny has to fail, and one that succeeds proves that they are not enforced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from wirecheck.api_index.allowed_dns import DnsDestination
from wirecheck.api_index.pod import Pod
from wirecheck.node.reach import Reached
from wirecheck.policy.cluster_pods import ClusterPods
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
    """The policies of a cluster, asked about probes."""

    pods: ClusterPods

    def denial(self, source: Pod, target: Pod, protocol: str, port: int) -> Denial | None:
        """The denial of the connection; None unless it is certain."""
        answer = self.pods.expected.answer(source, target, protocol, port)
        if answer.decision is not Decision.DENIED:
            return None
        class_of = self.pods.expected.vocabulary.class_of
        sent = self.pods.one_way(class_of(source), Direction.EGRESS, class_of(target))
        if sent.answer(protocol, port).decision is Decision.DENIED:
            return Denial(source, Direction.EGRESS, answer.reason)
        return Denial(target, Direction.INGRESS, answer.reason)

    def of_connection(self, connection: Reached) -> Denial | None:
        """The denial of a TCP connection from pod to pod."""
        source, target = connection.source, connection.target
        if source is None or target is None or connection.is_answered_here:
            return None
        return self.denial(source, target, "TCP", connection.contact.port)

    def deny_queries(self, pod: Pod, destinations: Sequence[DnsDestination]) -> bool:
        """Whether they deny the pod's queries to all the places where these can arrive."""
        return bool(destinations) and all(
            each.pod is not None and self.denial(pod, Pod(each.pod), each.protocol, each.port)
            for each in destinations
        )

    def with_made(
        self, deviations: Iterable[Deviation], connections: Iterable[Reached], node: str
    ) -> Iterator[Deviation]:
        """The deviations, and those that connections prove which were made although denied.

        Pods of other nodes are left out: what enforces policies for them is there.
        """
        made: dict[tuple[str, Direction], Deviation] = {}
        for each in connections:
            denial = self.of_connection(each) if each.contact.made else None
            if denial is not None and denial.pod.node_name == node:
                made.setdefault(_key(denial.pod, denial.direction), _proven(each, denial))
        for deviation in deviations:
            key = _key(deviation.pod, deviation.direction)
            if not deviation.is_open:
                yield deviation
            elif not (deviation.inconclusive and key in made):
                made.pop(key, None)
                yield deviation
        yield from made.values()


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
