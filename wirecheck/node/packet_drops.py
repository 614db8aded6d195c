"""Packets that a node dropped between two samples of its counters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.netns import TUNNELS
from wirecheck.snapshot.node_document import NodeDocument, TrafficSample

LEAST = 10
"""Dropped packets; with fewer, a percentage is meaningless."""


@dataclass(frozen=True, slots=True)
class PacketDrops:
    """The packets that one direction of a device, or the queues of the CPUs, dropped and passed."""

    where: str
    dropped: int
    passed: int

    @property
    def percent(self) -> float:
        """Percent of all packets that were dropped."""
        return 100 * self.dropped / (self.dropped + self.passed)


def packet_drops(node: str, document: NodeDocument) -> Iterator[PacketDrops]:
    """Yield where packets were dropped. Raises NotApplicable without two samples."""
    first, last = _two(node, document)
    # A tunnel drops packets that it has no route for: the network did not lose them.
    tunnels = {each.name for each in document.namespaces[0].links if each.kind in TUNNELS}
    received = 0
    for name, now in last.interfaces.items():
        before = first.interfaces.get(name)
        if name in tunnels or before is None or now.received < before.received:
            continue  # created or recreated between the samples
        inward = now.received - before.received
        received += inward
        dropped = now.receive_dropped - before.receive_dropped
        failed = now.receive_errors - before.receive_errors
        yield from _counting(f"{name}, incoming", dropped + failed, inward)
        outward = now.sent - before.sent
        lost = now.send_dropped - before.send_dropped + now.send_errors - before.send_errors
        yield from _counting(f"{name}, outgoing", lost, outward)
    if document.host.virtualised != "container":  # a container shows the counters of its host
        queued = last.softnet_dropped - first.softnet_dropped
        yield from _counting("queues of the CPUs", queued, received)


def _counting(where: str, lost: int, passed: int) -> Iterator[PacketDrops]:
    if lost >= LEAST:
        yield PacketDrops(where, lost, passed)


def _two(node: str, document: NodeDocument) -> tuple[TrafficSample, TrafficSample]:
    samples: Sequence[TrafficSample] = document.traffic or ()
    if problem := document.problem_with(Fact.TRAFFIC):
        raise FactMissingError(f"{node}: {problem}")
    if len(samples) < 2:
        raise NotApplicable("the drop counters of this node were not read twice")
    return samples[0], samples[-1]
