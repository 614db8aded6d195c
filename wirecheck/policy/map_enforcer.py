"""Cilium's eBPF maps of one node as what enforces policies: a peer counts by its identity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from wirecheck.addresses import IPAddress
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.dataplane.ebpf.known_addresses import LocalEndpoint
from wirecheck.dataplane.ebpf.policy_maps import (
    BITS_OF_CLUSTER,
    AskedPorts,
    Decided,
    PolicyMap,
    Port,
    policy_maps_of,
)
from wirecheck.dataplane.rules.followed_packets import Fates
from wirecheck.network.plugins.cilium import PLUGIN as CILIUM
from wirecheck.node.cilium_addresses import CiliumAddresses
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.policy.cilium_identities import UNKNOWN, CiliumIdentities, IdentitiesTold
from wirecheck.policy.enforcer import Telling
from wirecheck.policy.reach import Direction
from wirecheck.policy.ways import Way
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps
from wirecheck.text import plural

NO_IDENTITY = "pods without a CiliumEndpoint, which shows the identity"
NO_ENDPOINT = "Cilium has no endpoint for {}, so no policy of it applies there"
NO_MAP = "no policy map of endpoint {}, which is {}, was read"
NO_PROGRAM = "the pod's device has no program of Cilium, so what it sends takes the node's routes"
ISOLATES_ALL = "pods that no policy selects are isolated, because enable-policy is always"
MOST_PORTS = 1_000
MOST_LINES = 20
AUDITED = "policy audit mode is on for endpoint {}: denials are only logged"
NOT_READ = "whether Cilium only audits the policies of endpoint {} was not read"


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
            return self._document.policies_read
        except NotApplicable:
            return False

    @cached_property
    def _document(self) -> EbpfMaps:
        return self.addresses.usage.document

    # Maps.

    def told(self, family: int) -> IdentitiesTold:
        """The identities of addresses."""
        return IdentitiesTold(self.identities, family)

    @cached_property
    def identities(self) -> CiliumIdentities:
        """The identities of addresses on the node."""
        return CiliumIdentities(self.seen, self.addresses)

    def telling(self, address: IPAddress, direction: Direction) -> Telling:
        """The identities that the map of the pod has, and for others what stands for them."""
        found, is_egress = self._map_at(address), direction is Direction.EGRESS
        if isinstance(found, str):
            return Telling(found, lambda _: None)

        def told(of: object) -> object:
            assert isinstance(of, tuple)
            identity = of[is_egress]
            return identity and (found.as_named(identity, is_egress=is_egress),)

        return Telling((found.own_cluster, found.peers(is_egress=is_egress)), told)

    def named_ports(self, _: int, address: IPAddress) -> frozenset[Port]:
        """The ports that the map of the pod with the address names.

        Raises FactMissingError if there are too many to try.
        """
        found = self._map_at(address)
        named = frozenset(found.named_ports) if isinstance(found, PolicyMap) else frozenset[Port]()
        if isinstance(found, PolicyMap) and len(named) > MOST_PORTS:
            raise FactMissingError(
                f"{self.seen.name}: eBPF map {found.name} names {len(named)} ports; at most "
                f"{MOST_PORTS} are compared with NetworkPolicies."
            )
        return named

    def _map_at(self, address: IPAddress) -> PolicyMap | str:
        """The map of the pod with an address, or why there is none."""
        own = self.addresses.endpoints.get(str(address))
        if own is None:
            return NO_ENDPOINT.format(address)
        if own.number not in self._decoded:
            found = self._by_endpoint.get(own.number)
            self._decoded[own.number] = (
                self._decode(found) if found else NO_MAP.format(own.number, address)
            )
        return self._decoded[own.number]

    @cached_property
    def _decoded(self) -> dict[int, PolicyMap | str]:
        return {}

    @cached_property
    def _by_endpoint(self) -> Mapping[int, EbpfMap]:
        return policy_maps_of(self._document)

    def _decode(self, found: EbpfMap) -> PolicyMap:
        try:
            return PolicyMap.of(found, self._document.byte_order, self._cluster)
        except ParseError as error:
            raise FactMissingError(f"{self.seen.name}: {error}.") from error

    @cached_property
    def _cluster(self) -> int:
        """The number of the node's own cluster, with which the identities of its pods begin."""
        own = (each.identity >> BITS_OF_CLUSTER for each in self.addresses.endpoints.values())
        return max(own, default=0)

    # What they do.

    def fates(self, way: Way) -> Fates:
        """What the maps do with the connections."""
        fates, found = Fates(), self._map_at(way.subject.address)
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
        self._audit(fates, self.addresses.endpoints[str(way.subject.address)])
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
        maps = self.seen.cluster.api.config_maps
        return any(each.data.get("enable-policy") == "always" for each in maps)

    def _is_bypassed(self, own: IPAddress, direction: Direction) -> bool:
        """Whether what a pod sends meets no program, and so no policy for egress."""
        device = self.addresses.endpoints[str(own)].device
        programs = self.addresses.usage.cilium.programs
        return direction is Direction.EGRESS and programs.is_missing_on(device)

    def _of_peers(self, way: Way, found: PolicyMap) -> Iterator[tuple[int, Decided]]:
        """What happens to the packets of each peer, as bits."""
        ports, of_end = self._asked(way.ports.ports), way.packets.of_end
        for at, peer in enumerate(way.peers):
            identity = self._identity(peer.address, way.direction)
            for each in self._decided(found, identity, ports, way.direction):
                yield of_end(at, each.ports), each

    def _audit(self, fates: Fates, own: LocalEndpoint) -> None:
        """What becomes of refused packets: an endpoint that is only audited lets them pass."""
        is_audited = self.is_audited(own.number)
        if is_audited:
            fates.passed |= fates.refused
            fates.refused = 0
        elif is_audited is None and fates.refused:
            fates.unknown |= fates.refused
            fates.doubts.append((fates.refused, NOT_READ.format(own.number)))
            fates.refused = 0

    def is_audited(self, number: int) -> bool | None:
        """Whether policies of an endpoint are only logged; None if that was not read."""
        return (self._document.audited or {}).get(str(number))

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
        found = self._map_at(own)
        if isinstance(found, str):
            return ()
        if self._is_bypassed(own, way.direction):
            return (NO_PROGRAM,)
        number = self.addresses.endpoints[str(own)].number
        audit = [AUDITED.format(number)] if is_open and self.is_audited(number) else []
        return (*audit, *self._lines(found, peer, way.direction, port))

    def _lines(
        self, found: PolicyMap, peer: IPAddress, direction: Direction, port: Port
    ) -> Iterator[str]:
        identity = self._identity(peer, direction)
        for each in self._decided(found, identity, self._asked((port,)), direction):
            yield f"{found.name}: {each.entry or f'no {direction.lower()} entry matches'}"
        yield f"{peer} has identity {identity}"

    def lines_of(self, own: IPAddress) -> Iterator[str]:
        """The entries of the map of a pod of the node as text, those that others repeat left out.

        Raises FactMissingError if the map is not recognised.
        """
        found = self._map_at(own)
        if isinstance(found, str):
            yield found
            return
        number = self.addresses.endpoints[str(own)].number
        if self.is_audited(number):
            yield AUDITED.format(number)
        lines = [f"{found.name}: {each}" for each in found.listed]
        yield from lines[:MOST_LINES]
        if len(lines) > MOST_LINES:
            more = plural(len(lines) - MOST_LINES, "further entry", "further entries")
            yield f"{found.name}: {more}"
        if not lines:
            yield f"{found.name}: no entry, so everything is refused"

    def connection(
        self, own: IPAddress, peer: IPAddress, direction: Direction, port: Port
    ) -> Connection:
        """What the map of a pod of the node does with one connection.

        Raises FactMissingError if the map is not recognised.
        """
        found = self._map_at(own)
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
        number = self.addresses.endpoints[str(own)].number
        is_audited = False if decided.is_allowed else self.is_audited(number)
        if is_audited is None:
            return Connection(None, lines, NOT_READ.format(number))
        audit = (AUDITED.format(number),) if is_audited else ()
        return Connection(decided.is_allowed or is_audited, (*audit, *lines))
