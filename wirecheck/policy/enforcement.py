"""What one node does with connections of its pods, compared with the policies.

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
from wirecheck.node.cilium_addresses import CiliumAddresses
from wirecheck.node.firewall import CALICO_EBPF, Firewall
from wirecheck.node.iptables import Iptables
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen
from wirecheck.policy.cluster_pods import ClusterPods
from wirecheck.policy.compared_ports import ComparedPorts
from wirecheck.policy.ends import End, joined
from wirecheck.policy.enforcer import Enforcer
from wirecheck.policy.filter_enforcer import FilterEnforcer
from wirecheck.policy.map_enforcer import MapEnforcer
from wirecheck.policy.node_ends import NodeEnds
from wirecheck.policy.packet_filters import PacketFilters
from wirecheck.policy.peers import PodClass
from wirecheck.policy.reach import EVERYTHING, Direction, Reach
from wirecheck.policy.ways import Deviation, Followed, Way
from wirecheck.text import plural

MOST_CONCERNED = 20


@dataclass(frozen=True)
class PolicyEnforcement:
    """How one node enforces NetworkPolicies: by its packet filter, or by Cilium's eBPF maps."""

    seen: NodeSeen
    namespaces: PodNamespaces
    iptables: Iptables
    firewall: Firewall
    routes: NodeRoutes
    addresses: CiliumAddresses

    @cached_property
    def maps(self) -> MapEnforcer:
        """Cilium's maps, wherever they are what enforces policies."""
        return MapEnforcer(self.seen, self.addresses)

    @cached_property
    def enforcer(self) -> Enforcer:
        """What enforces policies, if anything does."""
        if self.maps.is_in_use:
            return self.maps
        return FilterEnforcer(self.seen, self.filters, self.firewall)

    @cached_property
    def filters(self) -> PacketFilters:
        return PacketFilters(self.seen, self.iptables, self.firewall)

    @cached_property
    def ends(self) -> NodeEnds:
        """The ends of the connections of its pods."""
        return NodeEnds(self.seen, self.namespaces, self.routes, self.enforcer)

    @cached_property
    def pods(self) -> ClusterPods:
        """What the policies mean for the pods of the cluster."""
        return ClusterPods.of(self.seen.cluster)

    @cached_property
    def deviations(self) -> tuple[Deviation, ...]:
        """At most one for each pod of the node, direction and kind, the pods in their order.

        Raises NotApplicable if nothing that is read enforces policies on the node.
        """
        self.require_enforcer()
        if not self.has_enforcer:
            raise NotApplicable(
                f"no rules of iptables or nftables are about single pods{self._unenforced}"
            )
        found: dict[tuple[str, Direction, bool], Deviation] = {}
        for each in self.all_followed:
            for is_open in (True, False):
                key = (each.pod.object.metadata.uid, each.way.direction, is_open)
                if deviation := self._deviation(each, is_open=is_open):
                    found.setdefault(key, deviation)
        for deviation in self._refused_to_node:
            uid = deviation.pod.object.metadata.uid
            found.setdefault((uid, deviation.direction, False), deviation)
        return tuple(found.values())

    @property
    def _refused_to_node(self) -> Iterator[Deviation]:
        """The node's pods that the node itself cannot reach, where it always can."""
        for each in (*self.ends.local(4), *self.ends.local(6)):
            own = each.peer
            assert isinstance(own, PodClass)
            expected = self.pods.expected
            beside = expected.isolation.beside(own, Direction.INGRESS)[0]
            if beside or expected.tiers_of(own, Direction.INGRESS):
                continue  # Policies of other kinds may deny it.
            if evidence := self.enforcer.refused_to_node(each.address):
                yield Deviation(
                    each.pods[0],
                    Direction.INGRESS,
                    is_open=False,
                    expected="all ports from the node itself allowed, for the kubelet's probes",
                    found=f"{self.seen.name} refuses it",
                    evidence=evidence,
                )

    @cached_property
    def all_followed(self) -> tuple[Followed, ...]:
        """What the node does with the connections of its pods."""
        fates = self.enforcer.fates
        return tuple(Followed(way, fates(way)) for family in (4, 6) for way in self._ways(family))

    def require_enforcer(self) -> None:
        """Raise NotApplicable if something enforces policies that was not read or never is.

        Raises FactMissingError for Cilium's maps if they should have been readable.
        """
        is_unread = self.seen.bypasses_routing and not self.maps.require()
        if is_unread or any(each.name == CALICO_EBPF for each in self.seen.host.interfaces):
            raise NotApplicable(
                f"{self.seen.cni} enforces policies outside of iptables and nftables, in maps or "
                "flows that are not read"
            )
        if not self._own_pods:
            raise NotApplicable("no pod of the node has a network of its own")

    @cached_property
    def has_enforcer(self) -> bool:
        """Whether a known program enforces policies, or rules are about single pods."""
        if self.maps.is_in_use or any(each.filter_chains for each in self.seen.cluster.cni_agents):
            return True
        addresses = frozenset(str(each) for pod in self._own_pods for each in pod.addresses)
        devices = (name for name, is_bridge in self.ends.devices.values() if not is_bridge)
        return self.filters.concern_pods(addresses, frozenset(devices))

    @cached_property
    def _own_pods(self) -> tuple[Pod, ...]:
        return tuple(pod for pod in self.seen.pods if pod.has_own_netns)

    @property
    def _unenforced(self) -> str:
        """A policy that nothing known enforces, as the end of a sentence."""
        selecting = self.seen.cluster.pod_index.policies.selecting
        policies = filter(None, (selecting(each.object) for each in self._own_pods))
        return next((f", so nothing known enforces {each}" for each in policies), "")

    def _ways(self, family: int) -> Iterator[Way]:
        local = self.ends.local(family)
        subjects = local if self.has_enforcer else self._isolated_among(local)
        if not subjects:
            return
        elsewhere = (*self.ends.remote(family), *self.ends.outside(family))
        for subject in subjects:
            named = self.enforcer.named_ports(family, subject.address)
            others = tuple(each for each in local if each is not subject)
            for direction in Direction:
                peers = (*others, *self._alike(subject, direction, elsewhere))
                own = tuple(self._own(subject, direction, each) for each in peers)
                joint = tuple(self._joint(subject, direction, each) for each in peers)
                ports = ComparedPorts.of(dict.fromkeys((*own, *joint)), named)
                bans_nobody = self.enforcer.bans_nobody
                yield Way(subject, direction, peers, own, joint, ports, bans_nobody)

    def _alike(
        self, subject: End, direction: Direction, elsewhere: Sequence[End]
    ) -> tuple[End, ...]:
        """Ends elsewhere, those together for which the policies of the pod mean the same."""
        telling = self.enforcer.telling(subject.address, direction)
        key = (subject.peer, direction, subject.address.version, telling.key)
        if key not in self._kept:
            # Equal reaches are one object.
            own = (id(self._own(subject, direction, each)) for each in elsewhere)
            groups = grouped(
                ((reach, e.device, telling.of(e.told), e.is_left), e)
                for reach, e in zip(own, elsewhere, strict=True)
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
        return self.pods.one_way(own, direction, peer.peer)

    @cached_property
    def _isolated(self) -> dict[Direction, frozenset[PodClass]]:
        """The classes of the node's pods about which policies say anything."""
        own = {each.peer for family in (4, 6) for each in self.ends.local(family)}
        classes = [each for each in own if isinstance(each, PodClass)]
        return {
            direction: frozenset(e for e in classes if self.pods.is_isolated(e, direction))
            for direction in Direction
        }

    def _isolated_among(self, local: Sequence[End]) -> tuple[End, ...]:
        classes = frozenset[PodClass]().union(*self._isolated.values())
        return tuple(each for each in local if each.peer in classes)

    def _joint(self, subject: End, direction: Direction, peer: End) -> Reach:
        own, other = subject.peer, peer.peer
        if not (peer.is_local and isinstance(own, PodClass) and isinstance(other, PodClass)):
            return self._own(subject, direction, peer)
        source, target = (other, own) if direction is Direction.INGRESS else (own, other)
        return self.pods.between(source, target)

    # The comparison.

    def _deviation(self, each: Followed, *, is_open: bool) -> Deviation | None:
        way = each.way
        if wrong := each.wrong(is_open=is_open):
            return self._wrong(way, wrong, is_open=is_open)
        unknown = each.undecided(is_open=is_open)
        doubt = each.fates.reason(unknown) if unknown else self._doubt(way) if is_open else ""
        if not doubt:
            return None
        return Deviation(each.pod, way.direction, is_open, inconclusive=doubt)

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
            self.enforcer.evidence(way, at, port, is_open=is_open),
            tuple(pod for n, _ in affected for pod in way.peers[n].pods)[:MOST_CONCERNED],
            is_leak=all(way.peers[n].is_left for n, _ in affected),
        )
