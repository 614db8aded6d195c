"""What the packet filter of one node does with connections of its pods, compared with the policies.

Every pod of the node is compared with every peer, in both directions: for ingress with all peers,
for egress with those that are elsewhere, whose own node decides about their ingress.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.dataplane.rules.followed_packets import Fates, followed
from wirecheck.dataplane.rules.many_packets import Ends, ManyPackets
from wirecheck.node.firewall import CALICO_EBPF, Firewall
from wirecheck.node.iptables import Iptables
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import BRIDGE_SYSCTLS, NodeSeen
from wirecheck.policy.cluster_pods import ClusterPods
from wirecheck.policy.compared_ports import ComparedPorts
from wirecheck.policy.node_ends import End, NodeEnds, joined
from wirecheck.policy.packet_filters import PacketFilters
from wirecheck.policy.peers import PodClass
from wirecheck.policy.reach import EVERYTHING, Direction, Reach
from wirecheck.text import plural

MOST_EVIDENCE = 4
MOST_CONCERNED = 20


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
        return bool(peer.pods) or (peer.is_named and not reach.is_open)

    @cached_property
    def of_policies(self) -> int:
        """The packets to ports that policies tell apart."""
        return sum(self.packets.of_end(at, self.ports.of_policies) for at in range(len(self.peers)))


@dataclass(frozen=True)
class PolicyEnforcement:
    """How the packet filter of one node enforces NetworkPolicies."""

    seen: NodeSeen
    namespaces: PodNamespaces
    iptables: Iptables
    firewall: Firewall
    routes: NodeRoutes

    @cached_property
    def filters(self) -> PacketFilters:
        return PacketFilters(self.seen, self.iptables, self.firewall)

    @cached_property
    def _ends(self) -> NodeEnds:
        return NodeEnds(self.seen, self.namespaces, self.routes, self.filters)

    @cached_property
    def _pods(self) -> ClusterPods:
        return ClusterPods.of(self.seen.cluster)

    @cached_property
    def deviations(self) -> tuple[Deviation, ...]:
        """At most one for each pod of the node, direction and kind, the pods in their order.

        Raises NotApplicable if no packet filter enforces policies on the node.
        """
        self._require_enforcer()
        found: dict[tuple[str, Direction, bool], Deviation] = {}
        for family in (4, 6):
            for way in self._ways(family):
                fates = self._fates(way)
                for is_open in (True, False):
                    key = (way.subject.pods[0].object.metadata.uid, way.direction, is_open)
                    if deviation := self._of_way(way, fates, is_open=is_open):
                        found.setdefault(key, deviation)
        return tuple(found.values())

    def _require_enforcer(self) -> None:
        if self.seen.bypasses_routing or any(
            each.name == CALICO_EBPF for each in self.seen.host.interfaces
        ):
            raise NotApplicable(
                f"{self.seen.cni} enforces policies outside of iptables and nftables, in maps or "
                "flows that are not read"
            )
        own = [pod for pod in self.seen.pods if pod.has_own_netns]
        if not own:
            raise NotApplicable("no pod of the node has a network of its own")
        addresses = frozenset(str(each) for pod in own for each in pod.addresses)
        devices = (name for name, is_bridge in self._ends.devices.values() if not is_bridge)
        agents = [each for each in self.seen.cluster.cni_agents if each.filter_chains]
        if not (agents or self.filters.concern_pods(addresses, frozenset(devices))):
            selecting = self.seen.cluster.pod_index.policies.selecting
            policies = filter(None, (selecting(each.object) for each in own))
            unenforced = next((f", so nothing known enforces {each}" for each in policies), "")
            raise NotApplicable(
                f"no rules of iptables or nftables are about single pods{unenforced}"
            )

    def _ways(self, family: int) -> Iterator[Way]:
        local = self._ends.local(family)
        if not local:
            return
        elsewhere = (*self._ends.remote(family), *self._ends.outside(family))
        addresses = frozenset(str(each.address) for each in local)
        named = self.filters.named_ports(family, addresses)
        for subject in local:
            others = tuple(each for each in local if each is not subject)
            for direction in Direction:
                peers = (*others, *self._alike(subject, direction, elsewhere))
                own = tuple(self._own(subject, direction, each) for each in peers)
                joint = tuple(self._joint(subject, direction, each) for each in peers)
                ports = ComparedPorts.of(dict.fromkeys((*own, *joint)), named)
                yield Way(subject, direction, peers, own, joint, ports)

    def _alike(
        self, subject: End, direction: Direction, elsewhere: Sequence[End]
    ) -> tuple[End, ...]:
        """Ends elsewhere, those together for which the policies of the pod mean the same."""
        key = (subject.peer, direction, subject.address.version)
        if key not in self._kept:
            # Equal reaches are one object.
            groups = grouped(
                ((id(self._own(subject, direction, e)), e.device, e.told, e.is_left), e)
                for e in elsewhere
            )
            self._kept[key] = tuple(map(joined, groups.values()))
        return self._kept[key]

    @cached_property
    def _kept(self) -> dict[object, tuple[End, ...]]:
        return {}

    def _own(self, subject: End, direction: Direction, peer: End) -> Reach:
        own = subject.peer
        assert isinstance(own, PodClass)
        if own not in self._isolated[direction]:
            return EVERYTHING
        return self._pods.one_way(own, direction, peer.peer)

    @cached_property
    def _isolated(self) -> dict[Direction, frozenset[PodClass]]:
        """The classes of the node's pods about which policies say anything."""
        own = {each.peer for family in (4, 6) for each in self._ends.local(family)}
        classes = [each for each in own if isinstance(each, PodClass)]
        return {
            direction: frozenset(e for e in classes if self._pods.is_isolated(e, direction))
            for direction in Direction
        }

    def _joint(self, subject: End, direction: Direction, peer: End) -> Reach:
        own, other = subject.peer, peer.peer
        if not (peer.is_local and isinstance(own, PodClass) and isinstance(other, PodClass)):
            return self._own(subject, direction, peer)
        source, target = (other, own) if direction is Direction.INGRESS else (own, other)
        return self._pods.between(source, target)

    # What the node does.

    def _fates(self, way: Way) -> Fates:
        family = way.subject.address.version
        fates = followed(self.filters.stages(family), way.packets, self.filters.sets)
        bypassing = self._bypassing(way, family)
        fates.passed |= bypassing
        fates.refused &= ~bypassing
        fates.unknown &= ~bypassing
        if unread := [*self.firewall.unread_filters]:
            fates.unknown |= fates.passed
            why = f"the rules of nftables tables were not read: {', '.join(unread)}"
            fates.doubts.append((fates.passed, why))
        return fates

    def _bypassing(self, way: Way, family: int) -> int:
        """The packets that a bridge forwards without asking iptables."""
        bridged = way.packets.of_ends(lambda each: each.is_bridged)
        return bridged if bridged and self._bridges_alone[family] else 0

    @cached_property
    def _bridges_alone(self) -> dict[int, bool]:
        """Whether bridges forward between their ports without iptables, by family."""
        return {f: self.seen.sysctl(name) != "1" for f, name in BRIDGE_SYSCTLS.items()}

    # The comparison.

    def _of_way(self, way: Way, fates: Fates, *, is_open: bool) -> Deviation | None:
        expected = way.denied if is_open else way.allowed
        unknown = fates.undecided & expected & way.of_policies
        wrong = (fates.passed if is_open else fates.refused) & expected & ~fates.undecided
        if wrong:
            return self._wrong(way, wrong, is_open=is_open)
        doubt = fates.reason(unknown) if unknown else self._doubt(way) if is_open else ""
        if not doubt:
            return None
        return Deviation(way.subject.pods[0], way.direction, is_open, inconclusive=doubt)

    def _doubt(self, way: Way) -> str:
        """Why the policies do not decide about some connections; empty if they do."""
        return next((each.reason for r in way.own for each in r.doubts), "")

    def _wrong(self, way: Way, wrong: int, *, is_open: bool) -> Deviation:
        packets = way.packets
        wrong_at = [(at, packets.ports_of_end(at, wrong)) for at in range(len(way.peers))]
        affected = [(at, bits) for at, bits in wrong_at if bits]
        at, bits = affected[0]
        port = way.ports.ports[(bits & -bits).bit_length() - 1]
        answer = (way.own if is_open else way.joint)[at].answer(port[0].upper(), port[1])
        from_to = "from" if way.direction is Direction.INGRESS else "to"
        total = sum(way.peers[n].count for n, _ in affected)
        more = f", and {plural(total - 1, 'further peer')}" if total > 1 else ""
        done = "forwards it" if is_open else "refuses it"
        return Deviation(
            way.subject.pods[0],
            way.direction,
            is_open,
            f"{port[0].upper()} {port[1]} {from_to} {way.peers[at].name} {answer.decision}: "
            f"{answer.reason}",
            f"{self.seen.name} {done} ({way.ports.shown(bits)}){more}",
            self._evidence(way, ManyPackets((packets.ends[at],), (port,)), is_open=is_open),
            tuple(pod for n, _ in affected for pod in way.peers[n].pods)[:MOST_CONCERNED],
            is_leak=all(way.peers[n].is_left for n, _ in affected),
        )

    def _evidence(self, way: Way, one: ManyPackets, *, is_open: bool) -> tuple[str, ...]:
        """The rule that decides about one connection, and its memberships in sets."""
        family = way.subject.address.version
        if one.ends[0].is_bridged and self._bridges_alone[family]:
            name = BRIDGE_SYSCTLS[family]
            return (f"{name} is not 1: bridged packets do not meet the packet filter",)
        fates = followed(self.filters.stages(family), one, self.filters.sets)
        if not is_open:
            return (*fates.refused_by[-1:], *fates.lacking)[:MOST_EVIDENCE]
        return (*fates.accepted_by[-1:], *fates.members)[:MOST_EVIDENCE] or ("no rule refuses it",)
