"""Between which two interfaces a packet is lost that arrives by everything that was read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wirecheck.catalogue.findings import Unanswered
from wirecheck.paths.answer import Path
from wirecheck.paths.journey import Hop

REFUSED = (
    "by what was read, no rule refuses it: what listens there, or a program that was not read, "
    "refused it"
)
MOST_NAMED = 2
NEIGHBOUR, WIRE, FDB = "neighbour on ", "wire", "FDB of "


class Wire(NamedTuple):
    """The part of a path that no node sees."""

    device: str
    node: str
    arrives_by: str
    """`eth0 of w2`."""
    tunnel: str
    """The device of the tunnel in which the packet is; empty without one."""


def lost_between(branches: Sequence[Path], sent: Unanswered) -> tuple[str, str]:
    """Where the packet must be lost, and a sentence about what to try there.

    All branches arrive; any of them may be the one that was lost.
    """
    path = branches[0]
    hops = [*path.there.hops, *(path.back.hops if path.back else ())]
    if sent.is_refused:
        return REFUSED, ""
    wires = tuple(dict.fromkeys(each for branch in branches for each in _wires(branch.there.hops)))
    ends = dict.fromkeys(f"{e.netns} on {e.node}" for e in map(_end, branches))
    last = f", or {' or '.join(list(ends)[:MOST_NAMED])} does not answer"
    if not wires:
        nodes = ", ".join(dict.fromkeys(hop.node for hop in hops))
        advice = f"On {nodes}, `tcpdump -ni any port {sent.port}` shows the last device it passes."
        return f"by what was read it arrives: it is lost on {nodes}{last}", advice
    pairs = [f"between {e.device} of {e.node} and {e.arrives_by}" for e in wires[:MOST_NAMED]]
    why = f"by what was read it arrives: it is lost {' or '.join(pairs)}{last}"
    return why, _advice(wires[0])


def _end(path: Path) -> Hop:
    place = path.there.at.place
    return Hop(place.node, place.name, "", "")


def _advice(wire: Wire) -> str:
    other, _, node = wire.arrives_by.partition(" of ")
    captured = (
        f"Compare `tcpdump -ni {wire.device}` on {wire.node} with `tcpdump -ni {other}` on {node}"
    )
    if wire.tunnel:
        return (
            f"{captured}: if it does not come in, security groups, a firewall or the hypervisor "
            f"drop the tunnel's UDP port; if it does, see the offloads: `ethtool -k {wire.tunnel}`."
        )
    return (
        f"{captured}: if it does not come in, security groups, a source check of the cloud or the "
        "hypervisor drop it."
    )


def _wires(hops: Sequence[Hop]) -> Iterator[Wire]:
    device = tunnel = ""
    for hop in hops:
        if hop.stage.startswith(NEIGHBOUR):
            device = hop.stage.removeprefix(NEIGHBOUR)
        elif hop.stage.startswith(FDB):
            tunnel = hop.stage.removeprefix(FDB)
        elif hop.stage == "tunnel":
            tunnel = ""
        elif hop.stage == WIRE:
            yield Wire(device, hop.node, hop.text.removeprefix("to "), tunnel)
