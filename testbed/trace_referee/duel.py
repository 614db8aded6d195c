"""One packet in a world: what the trace says of it, and what the kernel does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from testbed.trace_referee.accounts import counted_in, has_account
from testbed.trace_referee.exchange import Arrival, Exchange, Observed, Packet
from testbed.trace_referee.namespaces import Netns
from testbed.trace_referee.taps import ANSWER, REQUEST, came_into, has_ended_in
from testbed.trace_referee.world import Seen
from wirecheck.addresses import address
from wirecheck.inspect.trace import destination, trace_view
from wirecheck.inspect.trace_view import HopView, PathView, TraceView
from wirecheck.paths.ends import named
from wirecheck.paths.packet import EPHEMERAL, Segment

TAKEN = "takes the packet of"
"""The packet arrives, at another netns: the kernel makes the connection."""
REACHES, DIES, UNDECIDED = "reaches", "dies", "cannot be decided"
SOON, LATER = 0.4, 0.9
"""Seconds after which a packet counts as lost. Nobody sends it again within the first second."""
LINKS = ("veth pair", "wire", "MTU", "bridge port")
"""Stages at which a packet has left a netns and does not come into the next."""
MOST_SIZE = 64


@dataclass(frozen=True)
class Outcome:
    """One packet: what the kernel did, and what the trace said."""

    source: str
    address: str
    port: int
    is_made: bool
    result: str
    reason: str
    protocol: str = "tcp"
    stage: str = ""
    """Where it ends, as the trace says."""
    is_counted: bool = False
    """Whether a counter of the kernel shows that the packet died there."""
    is_captured: bool = False
    """Whether the capture shows it."""
    is_elsewhere: bool = False
    """Whether the packet arrives as another one, or at another socket, than the trace says."""
    lines: tuple[str, ...] = ()
    """Every line on its way, and what it does, with the netns and the stage."""

    @property
    def has_account(self) -> bool:
        """Whether anything beside the trace shows where the packet died."""
        return self.is_counted or self.is_captured

    @property
    def is_wrong(self) -> bool:
        if self.result == UNDECIDED or TAKEN in self.reason:
            return False
        return self.is_elsewhere or self.is_made is not (self.result == REACHES)


def compared(seen: Seen, sockets: Exchange, sent: Packet) -> Outcome:
    """What the trace says of a packet of the world, and then what the kernel does."""
    view = traced(seen, sent)
    found = _settled(sockets, sent, view, SOON)
    if found.is_wrong or (found.result == DIES and not found.has_account):
        found = _settled(sockets, sent, view, LATER)
    return found


def _settled(sockets: Exchange, sent: Packet, view: TraceView, limit: float) -> Outcome:
    every, path = sockets.every, view.paths[0] if view.paths else None
    sockets.forget()
    hop = path.decisive if path and view.result != REACHES else None
    where = _netns_of(every, hop) if hop and view.result == DIES else None
    line = hop.lines[-1] if hop and hop.lines else ""
    before = counted_in(where, line, sent.family) if where else None
    observed = sockets.observed(sent, limit)
    is_counted = is_captured = False
    if where and hop and path and before is not None:
        after = counted_in(where, line, sent.family)
        is_counted = has_account(hop.stage, line, before, after) or _is_silent(sockets, path)
        is_captured = _is_captured(every, sent, path, observed)
    return Outcome(
        f"{sent.netns.label} of {sent.netns.node}",
        sent.address,
        sent.port,
        observed.is_made,
        str(view.result),
        f"{view.reason}{_at(hop)}",
        sent.protocol,
        hop.stage if hop else "",
        is_counted,
        is_captured,
        view.result == REACHES and _is_elsewhere(view, observed, sent.protocol),
        _lines(path),
    )


def _is_silent(sockets: Exchange, path: PathView) -> bool:
    """Whether the netns asked for a neighbour, and nobody answered.

    What lets no frame pass a bridge stops the question first.
    """
    hops = (path.back or path.there).hops
    is_bridged = hops[-1].stage.startswith(("bridge", "veth pair"))
    asked = [each for each in hops if each.stage.startswith("neighbour")][-1:]
    if not asked or not (is_bridged or asked[0] is hops[-1]):
        return False
    where = _netns_of(sockets.every, asked[0])
    return where is not None and any(e.is_silent for e in sockets.neighbours[where].entries())


def _is_captured(every: Sequence[Netns], sent: Packet, path: PathView, observed: Observed) -> bool:
    """Whether devices saw the packet up to the hop at which it dies, and none behind it."""
    way = path.back or path.there
    phase = ANSWER if path.back else REQUEST
    hop, origin = way.hops[-1], _netns_of(every, way.hops[0]) if path.back else sent.netns
    where = _netns_of(every, hop)
    if where is None:
        return False
    if hop.stage in LINKS:
        passed = {_netns_of(every, each) for each in way.hops}
        return bool(observed.seen) and came_into(observed.seen, phase) <= passed - {None}
    return has_ended_in(observed.seen, phase, where, is_origin=where == origin)


def _is_elsewhere(view: TraceView, observed: Observed, protocol: str) -> bool:
    """Whether no branch of the path arrives as the packet did."""
    expected = {(each.there.arrives_as, _end(each)) for each in view.paths}
    arrived = {
        (_as_segment(each, observed, protocol), (each.netns.node, each.netns.label))
        for each in observed.arrivals
    }
    return bool(arrived) and not arrived & expected


def _end(path: PathView) -> tuple[str, str]:
    last = path.there.hops[-1]
    return last.node, last.netns


def _as_segment(arrival: Arrival, observed: Observed, protocol: str) -> str:
    is_own = arrival.source_port == observed.source_port
    return str(
        Segment(
            address(arrival.source),
            address(arrival.address),
            protocol,
            arrival.port,
            EPHEMERAL if is_own else arrival.source_port,
        )
    )


def _netns_of(every: Sequence[Netns], hop: HopView) -> Netns | None:
    """None if the hop is neither in a pod's netns nor in a node's."""
    return next((e for e in every if (e.node, e.label) == (hop.node, hop.netns)), None)


def _lines(path: PathView | None) -> tuple[str, ...]:
    if path is None:
        return ()
    hops = [*path.there.hops, *(path.back.hops if path.back else [])]
    return tuple(
        f"{each.netns}, {each.stage}: {line}" for each in hops for line in (each.text, *each.lines)
    )


def _at(hop: HopView | None) -> str:
    return f" at {hop.node}, {hop.netns}, {hop.stage}: {hop.lines}" if hop else ""


def traced(seen: Seen, sent: Packet) -> TraceView:
    """The trace of a packet."""
    netns = sent.netns
    source = f"pod/world/{netns.pod}" if netns.pod else f"node/{netns.node}"
    start, end = named(source), named(sent.address)
    to = destination(seen.cluster, start, end, str(sent.port), sent.protocol)
    size = sent.size if sent.size > MOST_SIZE else 0
    return trace_view(seen, start, to, size=size)  # type: ignore[arg-type]
