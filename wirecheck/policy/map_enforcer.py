"""Cilium's eBPF maps of one node as what enforces policies: a peer counts by its identity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from wirecheck.addresses import IPAddress
from wirecheck.api_index.config_map_settings import is_set
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.dataplane.ebpf.policy_maps import AskedPorts, Decided, PolicyMap, Port
from wirecheck.dataplane.rules.followed_packets import Fates
from wirecheck.network.plugins.cilium import PLUGIN as CILIUM
from wirecheck.node.cilium_addresses import CiliumAddresses
from wirecheck.node.seen import NodeSeen
from wirecheck.policy.cilium_identities import UNKNOWN, CiliumIdentities, IdentitiesTold
from wirecheck.policy.endpoint_maps import AUDITED, NOT_READ, EndpointMaps
from wirecheck.policy.enforcer import Telling
from wirecheck.policy.reach import Direction
from wirecheck.policy.ways import Way

NO_IDENTITY = "pods without a CiliumEndpoint, which shows the identity"
NO_PROGRAM = "the pod's device has no program of Cilium, so what it sends takes the node's routes"
ISOLATES_ALL = "pods that no policy selects are isolated, because enable-policy is always"
HOST, A_PORT = 1, ("tcp", 40_999)
"""The identity of the node itself, and a port that stands for all that nobody names."""


class Connection(NamedTuple):
    """What becomes of a connection."""

    is_allowed: bool | None
    """None if that is not known."""
    lines: tuple[str, ...] = ()
    """The entry that decides, and the peer's identity."""
    why: str = ""
    """Why it is not known."""


@dataclass(frozen=True)
class MapEnforcer:
    """The maps of endpoints of one node, and whose identity each address has."""

    seen: NodeSeen
    addresses: CiliumAddresses
    needs_routes: bool = False
    """Its programs send packets through the tunnel themselves."""
    bans_nobody: bool = True

    @cached_property
    def is_in_use(self) -> bool:
        """Whether Cilium connects the node's pods, and its maps of policies were read."""
        try:
            return self.require()
        except (FactMissingError, NotApplicable):
            return False

    def require(self) -> bool:
        """Whether the maps enforce policies, and were read.

        Raises FactMissingError if they should have been readable.
        """
        if self.seen.cni.name != CILIUM.name:
            return False
        try:
            return self.maps.document.policies_read
        except NotApplicable:
            return False

    @cached_property
    def maps(self) -> EndpointMaps:
        """The maps of the node's endpoints."""
        return EndpointMaps(self.seen, self.addresses)

    def told(self, family: int) -> IdentitiesTold:
        """The identities of addresses."""
        return IdentitiesTold(self.identities, family)

    @cached_property
    def identities(self) -> CiliumIdentities:
        """The identities of addresses on the node."""
        return CiliumIdentities(self.seen, self.addresses)

    def telling(self, address: IPAddress, direction: Direction) -> Telling:
        """The identities that the map of the pod has, and for others what stands for them."""
        found, is_egress = self.maps.at(address), direction is Direction.EGRESS
        if isinstance(found, str):
            return Telling(found, lambda _: None)

        def told(of: object) -> object:
            assert isinstance(of, tuple)
            identity = of[is_egress]
            return identity and (found.as_named(identity, is_egress=is_egress),)

        return Telling((found.own_cluster, found.peers(is_egress=is_egress)), told)

    def named_ports(self, _: int, address: IPAddress) -> frozenset[Port]:
        """The ports that the map of the pod with the address names."""
        return self.maps.named_ports(address)

    def fates(self, way: Way) -> Fates:
        """What the maps do with the connections."""
        fates, found = Fates(), self.maps.at(way.subject.address)
        if isinstance(found, str):
            fates.unknown = way.packets.all
            fates.doubts.append((fates.unknown, found))
            return fates
        if self._is_bypassed(way.subject.address, way.direction):
            fates.passed = way.packets.all
            return fates
        for bits, each in self._of_peers(way, found):
            if each.unknown:
                fates.unknown |= bits
                fates.doubts.append((bits, each.unknown))
            elif each.is_allowed:
                fates.passed |= bits
            else:
                fates.refused |= bits
        self._audit(fates, way.subject.address)
        self._leave_open(fates, way)
        return fates

    def _leave_open(self, fates: Fates, way: Way) -> None:
        """Doubt refusals that no policy is about, where all pods are isolated on purpose."""
        if not self._isolates_all:
            return
        ends = enumerate(way.own)
        open_ = sum(
            way.packets.of_end(at, (1 << len(way.ports.ports)) - 1) for at, e in ends if e.is_open
        )
        if doubtful := fates.refused & open_:
            fates.unknown |= doubtful
            fates.refused &= ~doubtful
            fates.doubts.append((doubtful, ISOLATES_ALL))

    @cached_property
    def _isolates_all(self) -> bool:
        return is_set(self.seen.cluster.api, "enable-policy", "always")

    def refused_to_node(self, address: IPAddress) -> tuple[str, ...]:
        """The entry by which the node's identity is not let in; Cilium always writes one for it.

        The kubelet's probes come from the node (allow-localhost).
        """
        found = self.maps.at(address)
        is_meant = self._leaves_nodes_to_policies or self._isolates_all
        if isinstance(found, str) or is_meant or self.maps.is_audited(address) is not False:
            return ()
        for port in (A_PORT, *sorted(found.named_ports)):
            (decided,) = found.decided(HOST, self._asked((port,)), is_egress=False)
            if not (decided.is_allowed or decided.unknown):
                entry = decided.entry or f"no ingress entry matches identity {HOST} (the host)"
                return (f"{found.name}: {entry}",)
        return ()

    @cached_property
    def _leaves_nodes_to_policies(self) -> bool:
        return is_set(self.seen.cluster.api, "allow-localhost", "policy")

    def _is_bypassed(self, own: IPAddress, direction: Direction) -> bool:
        return direction is Direction.EGRESS and not self.maps.has_program(own)

    def _of_peers(self, way: Way, found: PolicyMap) -> Iterator[tuple[int, Decided]]:
        """What happens to the packets of each peer, as bits."""
        ports, of_end = self._asked(way.ports.ports), way.packets.of_end
        for at, peer in enumerate(way.peers):
            identity = self._identity(peer.address, way.direction)
            for each in self._decided(found, identity, ports, way.direction):
                yield of_end(at, each.ports), each

    def _audit(self, fates: Fates, own: IPAddress) -> None:
        """What becomes of refused packets: an endpoint that is only audited lets them pass."""
        is_audited = self.maps.is_audited(own)
        if is_audited:
            fates.passed |= fates.refused
            fates.refused = 0
        elif is_audited is None and fates.refused:
            fates.unknown |= fates.refused
            fates.doubts.append((fates.refused, NOT_READ.format(self.maps.number(own))))
            fates.refused = 0

    def _identity(self, peer: IPAddress, direction: Direction) -> int:
        return self.identities.of(peer)[direction is Direction.EGRESS]

    def _asked(self, ports: tuple[Port, ...]) -> AskedPorts:
        if ports not in self._ports:
            self._ports[ports] = AskedPorts(ports)
        return self._ports[ports]

    @cached_property
    def _ports(self) -> dict[tuple[Port, ...], AskedPorts]:
        return {}

    def _decided(
        self, found: PolicyMap, identity: int, ports: AskedPorts, direction: Direction
    ) -> Sequence[Decided]:
        key = (found.name, identity, id(ports), direction)
        if key not in self._kept:
            is_egress = direction is Direction.EGRESS
            self._kept[key] = tuple(
                found.decided(identity, ports, is_egress=is_egress)
                if identity != UNKNOWN
                else found.for_unknown(ports, NO_IDENTITY, is_egress=is_egress)
            )
        return self._kept[key]

    @cached_property
    def _kept(self) -> dict[tuple[str, int, int, Direction], Sequence[Decided]]:
        return {}

    def evidence(self, way: Way, at: int, port: Port, *, is_open: bool) -> tuple[str, ...]:
        """The entry of the map that decides about one connection, and the peer's identity."""
        own, peer = way.subject.address, way.peers[at].address
        found = self.maps.at(own)
        if isinstance(found, str):
            return ()
        if self._is_bypassed(own, way.direction):
            return (NO_PROGRAM,)
        is_audited = is_open and self.maps.is_audited(own)
        audit = [AUDITED.format(self.maps.number(own))] if is_audited else []
        return (*audit, *self._lines(found, peer, way.direction, port))

    def _lines(
        self, found: PolicyMap, peer: IPAddress, direction: Direction, port: Port
    ) -> Iterator[str]:
        identity = self._identity(peer, direction)
        for each in self._decided(found, identity, self._asked((port,)), direction):
            yield f"{found.name}: {each.entry or f'no {direction.lower()} entry matches'}"
        yield f"{peer} has identity {identity}"

    def connection(
        self, own: IPAddress, peer: IPAddress, direction: Direction, port: Port
    ) -> Connection:
        """What the map of a pod of the node does with one connection.

        Raises FactMissingError if the map is not recognised.
        """
        found = self.maps.at(own)
        if isinstance(found, str):
            return Connection(None, why=found)
        if self._is_bypassed(own, direction):
            return Connection(True, (NO_PROGRAM,))
        is_egress = direction is Direction.EGRESS
        (anybody,) = found.for_unknown(self._asked((port,)), NO_IDENTITY, is_egress=is_egress)
        if anybody.is_allowed:
            return Connection(True, (f"{found.name}: {anybody.entry}",))
        lines = tuple(self._lines(found, peer, direction, port))
        identity = self._identity(peer, direction)
        (decided,) = self._decided(found, identity, self._asked((port,)), direction)
        if decided.unknown:
            return Connection(None, lines, decided.unknown)
        number = self.maps.number(own)
        is_audited = False if decided.is_allowed else self.maps.is_audited(own)
        if is_audited is None:
            return Connection(None, lines, NOT_READ.format(number))
        audit = (AUDITED.format(number),) if is_audited else ()
        return Connection(decided.is_allowed or is_audited, (*audit, *lines))
