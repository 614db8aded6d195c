"""A packet on its way: where it is, where it was, and what is still open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from wirecheck.addresses import IPAddress
from wirecheck.node.netns import Interface
from wirecheck.paths.packet import Segment
from wirecheck.paths.place import Place


class Result(StrEnum):
    """How a path ends."""

    REACHES = "reaches"
    DIES = "dies"
    UNDECIDED = "cannot be decided"


@dataclass(frozen=True, slots=True)
class Hop:
    """One decision about the packet."""

    node: str
    netns: str
    """`the node`, or `pod shop/web`."""
    stage: str
    text: str
    lines: tuple[str, ...] = ()
    """The rules, routes or entries that decided it, as their tools print them."""

    @property
    def line(self) -> Line:
        """What decides here."""
        return self.node, self.netns, self.stage, self.lines


class Translation(NamedTuple):
    """What connection tracking of one netns remembers of a changed address."""

    netns: tuple[str, int]
    is_destination: bool
    """Whether the destination was changed; otherwise the source."""
    before: tuple[IPAddress, int]
    after: tuple[IPAddress, int]
    by_conntrack: bool = True
    """Otherwise IPVS or a socket changed it, and rules do not see it as DNAT."""


@dataclass(frozen=True, slots=True)
class Sends:
    """A process sends the packet."""

    place: Place


@dataclass(frozen=True, slots=True)
class Arrives:
    """The device hands the packet to the IP layer of its netns."""

    place: Place
    device: Interface
    port: Interface | None = None
    """Of a bridge: the port at which the frame came in."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """The IP layer hands the packet to a device, for a neighbour."""

    place: Place
    device: Interface
    neighbour: IPAddress
    is_own: bool = False
    """Whether a process of the netns sent it; otherwise it is forwarded."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A device sends a frame to a MAC; without one, all receivers take it."""

    place: Place
    device: Interface
    mac: str
    neighbour: IPAddress


@dataclass(frozen=True, slots=True)
class Switched:
    """A bridge has a frame; `port` is where it came in, None if the bridge itself sends it."""

    place: Place
    bridge: Interface
    port: Interface | None
    mac: str
    neighbour: IPAddress
    is_translated: bool = False
    """Whether rules have changed its destination, and it stays in the bridge."""


@dataclass(frozen=True, slots=True)
class Bridged:
    """A frame whose destination was translated goes on in its bridge, to another neighbour."""

    place: Place
    bridge: Interface
    port: Interface
    neighbour: IPAddress


@dataclass(frozen=True, slots=True)
class Received:
    """The packet is at a socket of the netns."""

    place: Place


At = Sends | Arrives | Leaves | Frame | Switched | Bridged | Received


class Carried(NamedTuple):
    """A packet inside of the one that is followed: a VXLAN device sent it."""

    packet: Segment
    mac: str
    """Of the receiver in the tunnel."""
    vni: int


class Learned(NamedTuple):
    """Who is asked by ARP knows the asker's MAC from then on (arp_process)."""

    netns: tuple[str, int]
    device: int
    address: IPAddress
    mac: str


Line = tuple[str, str, str, tuple[str, ...]]
"""What decides at a hop: node, netns, stage and lines."""

Tracking = tuple[str, int, int]
"""A netns, and in how many others the packet is: that of a tunnel is a connection of its own."""


@dataclass(frozen=True)
class Journey:
    """One branch of the path so far."""

    at: At
    packet: Segment
    sent: Segment | None = None
    """The packet as it was sent."""
    hops: tuple[Hop, ...] = ()
    open: tuple[str, ...] = ()
    """What was not read and might have stopped the packet here."""
    share: float = 1.0
    translations: tuple[Translation, ...] = ()
    tracked: frozenset[Tracking] = frozenset()
    """Where connection tracking has seen the first packet."""
    untracked: frozenset[Tracking] = frozenset()
    """Where a rule exempts the packet from tracking."""
    unseen: frozenset[Tracking] = frozenset()
    """Of an answer: where a rule exempted the first packet."""
    taken: frozenset[Tracking] = frozenset()
    """Where IPVS has chosen a real server: it takes no packet twice."""
    carried: tuple[Carried, ...] = ()
    """The packets inside of this one, the innermost first."""
    result: Result | None = None
    reason: str = ""
    learned: frozenset[Learned] = frozenset()
    """What was learned from questions for addresses on the way."""
    overlooked: frozenset[Line] = frozenset()
    """What is followed as if it were not there: see `further`."""

    @property
    def tracking(self) -> Tracking:
        """The connection of the packet in the present netns."""
        return (*self.at.place.key, len(self.carried))

    def to(self, at: At, stage: str, text: str, *lines: str) -> Journey:
        """The journey after one more hop, which was decided in the present place."""
        return replace(self, at=at, hops=(*self.hops, self.hop(stage, text, *lines)))

    def noted(self, stage: str, text: str, *lines: str) -> Journey:
        """The journey with a hop that does not move the packet."""
        return self.to(self.at, stage, text, *lines)

    def redirected(self, where: IPAddress, port: int) -> Journey:
        """The journey to another destination that connection tracking has not translated to."""
        packet = replace(self.packet, destination=where, port=port)
        before, after = (self.packet.destination, self.packet.port), (where, port)
        made = Translation(self.at.place.key, True, before, after, by_conntrack=False)
        return replace(self, packet=packet, translations=(*self.translations, made))

    def dies(self, stage: str, why: str, *lines: str) -> Journey:
        """The end of the journey at this hop."""
        last = self.hop(stage, why, *lines)
        return replace(self, hops=(*self.hops, last), result=Result.DIES, reason=why)

    def refused(self, stage: str, why: str, *lines: str) -> Journey:
        """The end at this hop, unless what refuses the packet there is overlooked."""
        if self.hop(stage, why, *lines).line in self.overlooked:
            return self
        return self.dies(stage, why, *lines)

    def undecided(self, stage: str, why: str, *lines: str) -> Journey:
        """The end of what is known."""
        last = self.hop(stage, why, *lines)
        return replace(self, hops=(*self.hops, last), result=Result.UNDECIDED, reason=why)

    def doubting(self, *reasons: str) -> Journey:
        """The journey with open questions, which rule out the result that the packet arrives."""
        new = tuple(each for each in dict.fromkeys(reasons) if each not in self.open)
        return replace(self, open=(*self.open, *new)) if new else self

    def hop(self, stage: str, text: str, *lines: str) -> Hop:
        place = self.at.place
        return Hop(place.node, place.name, stage, text, lines)
