"""Packets that a node lost between two samples of its counters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.netns import TUNNELS
from wirecheck.snapshot.node_document import NodeDocument, TrafficSample

LEAST = 10
"""Packets, below which a share says nothing."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What one direction of a device, or the queues of the CPUs, lost while it passed others."""

    where: str
    lost: int
    passed: int

    @property
    def percent(self) -> float:
        """Of all packets."""
        return 100 * self.lost / (self.lost + self.passed)


def losses(node: str, document: NodeDocument) -> Iterator[Loss]:
    """Where packets were lost. Raises where the counters were not read twice."""
    first, last = _two(node, document)
    # A tunnel drops what it knows no way for: that is no loss of the wire.
    tunnels = {each.name for each in document.namespaces[0].links if each.kind in TUNNELS}
    received = 0
    for name, now in last.interfaces.items():
        before = first.interfaces.get(name)
        if name in tunnels or before is None or now.received < before.received:
            continue  # made, or made anew, meanwhile
        inward = now.received - before.received
        received += inward
        dropped = now.receive_dropped - before.receive_dropped
        failed = now.receive_errors - before.receive_errors
        yield from _counting(f"{name}, incoming", dropped + failed, inward)
        outward = now.sent - before.sent
        lost = now.send_dropped - before.send_dropped + now.send_errors - before.send_errors
        yield from _counting(f"{name}, outgoing", lost, outward)
    if document.host.virtualised != "container":  # there they are the whole machine's
        queued = last.softnet_dropped - first.softnet_dropped
        yield from _counting("queues of the CPUs", queued, received)


def _counting(where: str, lost: int, passed: int) -> Iterator[Loss]:
    if lost >= LEAST:
        yield Loss(where, lost, passed)


def _two(node: str, document: NodeDocument) -> tuple[TrafficSample, TrafficSample]:
    samples: Sequence[TrafficSample] = document.traffic
    if problem := next((each for each in document.problems if each.startswith("Traffic")), ""):
        raise FactMissingError(f"{node}: {problem}")
    if len(samples) < 2:
        raise NotApplicable("counters of losses were not read twice on this node")
    return samples[0], samples[-1]
