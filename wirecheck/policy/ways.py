"""Connections of one pod of a node in one direction, and what the node's packet filter does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.pod import Pod
from wirecheck.dataplane.rules.followed_packets import Fates
from wirecheck.dataplane.rules.many_packets import Ends, ManyPackets
from wirecheck.policy.compared_ports import ComparedPorts
from wirecheck.policy.ends import End
from wirecheck.policy.reach import Direction, Reach


@dataclass(frozen=True)
class Deviation:
    """Connections of one pod in one direction that the node treats otherwise than the policies."""

    pod: Pod
    direction: Direction
    is_open: bool
    """Whether the node lets through what policies deny; otherwise it refuses what they allow."""
    expected: str = ""
    found: str = ""
    evidence: tuple[str, ...] = ()
    peers: tuple[Pod, ...] = ()
    inconclusive: str = ""
    is_leak: bool = False
    """Whether only addresses are let in that no pod has, until a new pod gets one of them."""


@dataclass(frozen=True)
class Way:
    """Connections between one pod of the node and its peers, in one direction."""

    subject: End
    direction: Direction
    peers: tuple[End, ...]
    own: tuple[Reach, ...]
    """What the policies of the pod allow, by peer."""
    joint: tuple[Reach, ...]
    """What those of the peer allow as well, as far as this node enforces them."""
    ports: ComparedPorts
    counts_outside: bool = False
    """Whether connections with addresses outside count although no policy is about them."""

    def ends(self, peer: End) -> Ends:
        """The two ends of a connection."""
        source, target = (peer, self.subject)
        if self.direction is Direction.EGRESS:
            source, target = target, source
        is_bridged = source.is_bridged and target.is_bridged and source.device == target.device
        return Ends(source.address, target.address, source.device, target.device, is_bridged)

    @cached_property
    def packets(self) -> ManyPackets:
        return ManyPackets(tuple(map(self.ends, self.peers)), self.ports.ports)

    @cached_property
    def denied(self) -> int:
        """The packets that policies of the pod deny."""
        within, of_end = self.ports.within, self.packets.of_end
        return sum(of_end(at, within(each.denied_ports)) for at, each in enumerate(self.own))

    @cached_property
    def denied_elsewhere(self) -> int:
        """Those of them to or from ends that are not pods of the node.

        The policies of another pod of the node may deny them as well.
        """
        every_port = (1 << len(self.ports.ports)) - 1
        of_end, peers = self.packets.of_end, enumerate(self.peers)
        return self.denied & sum(of_end(at, every_port) for at, e in peers if not e.is_local)

    @cached_property
    def allowed(self) -> int:
        """The packets that policies allow, to ports that they tell apart.

        Those to a pod of the node count as its ingress only. Addresses outside count if a policy is
        about them, and not those that rules alone name: the owner of the node may ban some.
        """
        ports, of_end = self.ports, self.packets.of_end
        return sum(
            of_end(at, ports.within(each.allowed_ports) & ports.of_policies)
            for at, each in enumerate(self.joint)
            if self._counts(self.peers[at], each)
        )

    def _counts(self, peer: End, reach: Reach) -> bool:
        if peer.is_local:
            return self.direction is Direction.INGRESS
        is_asked = self.counts_outside or not reach.is_open
        return bool(peer.pods) or (peer.is_named and is_asked)

    @cached_property
    def of_policies(self) -> int:
        """The packets to ports that policies tell apart."""
        return sum(self.packets.of_end(at, self.ports.of_policies) for at in range(len(self.peers)))


@dataclass(frozen=True)
class Followed:
    """Connections, and what the packet filter does with them."""

    way: Way
    fates: Fates

    @property
    def pod(self) -> Pod:
        """The pod of the node."""
        return self.way.subject.pods[0]

    @property
    def is_open(self) -> bool:
        """Whether the node certainly forwards everything that policies of the pod deny."""
        return not self.way.denied_elsewhere & ~(self.fates.passed & ~self.fates.undecided)

    def wrong(self, *, is_open: bool) -> int:
        """The packets that are certainly forwarded although denied, or refused although allowed."""
        expected = self.way.denied if is_open else self.way.allowed
        done = self.fates.passed if is_open else self.fates.refused
        return done & expected & ~self.fates.undecided

    def undecided(self, *, is_open: bool) -> int:
        """The packets of which it is not known what happens to them."""
        expected = self.way.denied if is_open else self.way.allowed
        return self.fates.undecided & expected & self.way.of_policies
