"""Connections that were made, and what the trace says about their paths.

A connection that was made shows that its packets arrived. Where the trace lets them die, it has
read or followed something wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import address
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.model.path_world import path_nodes
from wirecheck.node.dns import NodeDns
from wirecheck.node.reach import NodeReach
from wirecheck.node.seen import NodeSeen
from wirecheck.paths.answer import Path, paths
from wirecheck.paths.ends import Destination, NoSuchEndError, trace_arguments
from wirecheck.paths.journey import Result
from wirecheck.paths.place import World
from wirecheck.paths.start import from_sender
from wirecheck.text import shortened

MOST_OF_RUN = 32
"""Connections that are followed: in a large cluster those of some nodes, which are much alike."""
LEAST_OF_NODE = 4
LONGEST = 500
UNREAD = "it was recorded before the trace had what decides about packets"


@dataclass(frozen=True)
class Made:
    """A connection that was made, or a DNS query that was answered."""

    ref: Ref
    source: Pod | None
    """None for the node itself."""
    to: Destination
    concerns: tuple[Ref, ...]

    def arguments(self, node: str) -> str:
        """The arguments of `wirecheck trace` for it."""
        pod, to = self.source.ref if self.source else None, self.to
        return trace_arguments(pod, node, str(to.address), to.port, to.protocol)


@dataclass(frozen=True)
class Contradiction:
    """A connection that was made although the trace says that its packets die."""

    made: Made
    path: Path
    trace: str
    """The arguments of `wirecheck trace`."""

    @property
    def found(self) -> str:
        """`the trace lets it die on w2, forward: dropped by this rule: filter: -A FORWARD …`."""
        hop = self.path.decisive
        if hop is None:
            return self.path.reason
        lines = [each for each in hop.lines[-1:] if each not in self.path.reason]
        place = f"{hop.netns} on {hop.node}, {hop.stage}"
        return shortened(
            ": ".join([f"the trace ends in {place}", self.path.reason, *lines]), LONGEST
        )


@dataclass(frozen=True)
class MadeConnections:
    """The connections of one node whose paths are compared."""

    seen: NodeSeen
    reach: NodeReach
    dns: NodeDns

    @property
    def contradicted(self) -> Iterator[Contradiction]:
        """Those that were made although every branch of the path dies.

        Raises NotApplicable where nothing could be compared.
        """
        self._require_facts()
        decided, why = 0, "no connection was made"
        for each in self._followed:
            branches = _branches(path_nodes(self.seen.cluster).world, self.seen.name, each)
            known = [path for path in branches if path.result is not Result.UNDECIDED]
            if branches and len(known) < len(branches):
                why = next(e.reason for e in branches if e.result is Result.UNDECIDED)
            decided += bool(known)
            if known and all(path.result is Result.DIES for path in branches):
                yield Contradiction(each, branches[0], each.arguments(self.seen.name))
        if not decided:
            raise NotApplicable(f"where packets end cannot be decided: {shortened(why, LONGEST)}")

    def _require_facts(self) -> None:
        host = self.seen.host.record
        if host.programs is None or host.listeners is None or host.xfrm_policies is None:
            raise NotApplicable(UNREAD)
        if not self._is_chosen:
            raise NotApplicable(f"at most {MOST_OF_RUN} connections of a run are followed")

    @property
    def _is_chosen(self) -> bool:
        """Whether the node is one of those whose connections are followed."""
        step = -(-self._nodes * LEAST_OF_NODE // MOST_OF_RUN)
        return self._place % step == 0

    @property
    def _nodes(self) -> int:
        return len(self.seen.cluster.nodes)

    @property
    def _place(self) -> int:
        return self.seen.cluster.places[self.seen.name]

    @cached_property
    def _followed(self) -> Sequence[Made]:
        """One connection of each purpose; beyond the limit each node follows others of them."""
        found = self._connections
        for transport in ("tcp", "udp"):
            if query := self._answered(transport):
                found[f"dns {transport}"] = query
        ordered = [found[name] for name in sorted(found)]
        most = max(LEAST_OF_NODE, MOST_OF_RUN // self._nodes)
        start = self._place * most % max(len(ordered), 1)
        return [*ordered[start:], *ordered[:start]][:most]

    @property
    def _connections(self) -> dict[str, Made]:
        found: dict[str, Made] = {}
        for contact in self.seen.facts.contacts or ():
            if contact.purpose in found or not contact.tries or contact.made != contact.times:
                continue
            reached = self.reach.reached(contact)
            if not reached.is_answered_here:
                to = _destination(contact.address, contact.port, "tcp")
                found[contact.purpose] = Made(reached.ref, reached.source, to, reached.concerns)
        return found

    def _answered(self, transport: str) -> Made | None:
        """The first DNS query of a pod that got a response."""
        with suppress(NotApplicable, FactMissingError):
            for pod, lookup in self.dns.pod_lookups(transport):
                if not lookup.is_unanswered:
                    part = f"from {pod.namespace}/{pod.name} to DNS {lookup.via}"
                    to = _destination(lookup.probe.server, lookup.probe.port, transport)
                    return Made(self.seen.part(part), pod, to, (pod.ref, *lookup.concerns))
        return None


def _destination(where: str, port: int, protocol: str) -> Destination:
    return Destination(where, address(where), port, protocol)


def _branches(world: World, node: str, made: Made) -> tuple[Path, ...]:
    """Every branch of the connection's path; none where it is not known how it begins."""
    try:
        start = from_sender(world, node, made.source, made.to)
    except NoSuchEndError:
        return ()
    return () if isinstance(start, str) else paths(world, start)
