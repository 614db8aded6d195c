"""Decodes Cilium's load balancer maps into frontends and backends, without evaluating them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple

from wirecheck.addresses import IPNetwork
from wirecheck.api_index.backend import with_port
from wirecheck.dataplane.ebpf.entries import Net16, address_of, entries_of, in_use, net16
from wirecheck.dataplane.ebpf.layouts import NAMES, TRIED, Subject, layout_of
from wirecheck.dataplane.ebpf.required import pinned_maps, require_services
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.ebpf_maps import EbpfMaps

PROTOCOLS = {0: "any", 6: "tcp", 17: "udp", 132: "sctp"}
STATES = ("active", "terminating", "quarantined", "maintenance")
EXTERNAL, INTERNAL = 0, 1
"""Scopes: an entry for clients outside the cluster or for all, and one for the node and its pods.
"""
BITS_OF_SCOPE = 32
"""Source ranges begin with the id of a reverse NAT entry and its padding."""
SECONDS = 0xFFFFFF
"""The bits of the first number of a frontend that are seconds; the others choose an algorithm."""


class Flags(IntFlag):
    """What a frontend is, as far as it changes where connections go."""

    EXTERNAL_IP = 1 << 0
    NODE_PORT = 1 << 1
    EXTERNAL_LOCAL = 1 << 2
    HOST_PORT = 1 << 3
    AFFINITY = 1 << 4
    LOAD_BALANCER = 1 << 5
    ROUTABLE = 1 << 6
    SOURCE_RANGES = 1 << 7
    LOCAL_REDIRECT = 1 << 8
    NAT_46X64 = 1 << 9
    L7 = 1 << 10
    LOOPBACK = 1 << 11
    INTERNAL_LOCAL = 1 << 12
    TWO_SCOPES = 1 << 13
    DENIES_RANGES = 1 << 14
    DSR = 1 << 15

    # That of an enum is computed in Python, for each of 10,000 entries of a node.
    __hash__ = int.__hash__


flags_of = lru_cache(maxsize=1 << 16)(Flags)
"""The flags with a value: most entries of a node have one of a few."""


class Place(NamedTuple):
    """The key of a frontend. `0.0.0.0` and `::` stand for any address of a node."""

    family: int
    address: str
    protocol: str
    port: int
    scope: int = EXTERNAL

    @property
    def is_wildcard(self) -> bool:
        """Whether it is for all ports and protocols that no other entry of its address has."""
        return self.port == 0 and self.protocol == "any"

    @property
    def is_surrogate(self) -> bool:
        """Whether it is for every address of nodes."""
        return self.address in SURROGATES.values()

    def __str__(self) -> str:
        """`10.96.0.10:53/udp`, `10.96.0.10:53/udp (internal)`."""
        scope = " (internal)" if self.scope == INTERNAL else ""
        return f"{with_port(self.address, self.port)}/{self.protocol}{scope}"


SURROGATES = {4: "0.0.0.0", 6: "::"}


class MapFrontend(NamedTuple):
    """The entry of slot 0."""

    affinity: int
    """Seconds that a client stays with its backend."""
    active: int
    """The slots that new connections are spread over, from 1 on."""
    left_out: int
    """Further slots with backends that get no new connections."""
    reverse_nat: int
    flags: Flags


class MapBackend(NamedTuple):
    """The entry of a backend, which all Services with this address and port share."""

    address: str
    port: int
    protocol: str
    state: int
    cluster: int
    """Of ClusterMesh; 0 for the node's own cluster."""

    def __str__(self) -> str:
        """`10.244.1.3:8080/tcp, active`."""
        state = STATES[self.state] if self.state < len(STATES) else f"state {self.state}"
        cluster = f", of cluster {self.cluster}" if self.cluster else ""
        return f"{with_port(self.address, self.port)}/{self.protocol}, {state}{cluster}"


@dataclass
class CiliumMaps:
    """What the load balancer maps of one node contain."""

    frontends: dict[Place, MapFrontend] = field(default_factory=dict)
    slots: dict[Place, dict[int, int]] = field(default_factory=dict)
    """The id of the backend in each slot."""
    backends: dict[tuple[int, int], MapBackend] = field(default_factory=dict)
    """By family and id."""
    reverse_nat: dict[tuple[int, int], tuple[str, int]] = field(default_factory=dict)
    """The address and port that replies are translated to, by family and id."""
    source_ranges: dict[tuple[int, int], list[IPNetwork]] = field(default_factory=dict)
    """By family and reverse NAT id."""
    affinity: set[tuple[int, int]] = field(default_factory=set)
    """The backends that clients may return to, with the reverse NAT id of the frontend."""
    families: set[int] = field(default_factory=set)
    """Those that have a map of frontends."""

    def first_with(self, flag: Flags, family: int) -> Place | None:
        """A frontend with this flag."""
        own = ((place, of) for place, of in self.frontends.items() if place.family == family)
        return next((place for place, of in own if of.flags & flag), None)


def cilium_maps(document: EbpfMaps) -> CiliumMaps:
    """Decode the maps.

    Raises ParseError for a map that is incomplete, damaged, unknown or missing.
    """
    found = CiliumMaps()
    for each in in_use(document.maps, NAMES):
        layout = layout_of(each)
        entries = entries_of(each, document.byte_order)
        READERS[layout.subject](found, layout.family, entries, net16(document.byte_order))
    require_services(document)
    require_referred(found, document)
    return found


def require_referred(found: CiliumMaps, document: EbpfMaps) -> None:
    """Raise ParseError if a frontend depends on a map that is not pinned."""
    pinned = pinned_maps(document)
    for family in sorted(found.families):
        for flag, of in (
            (Flags.AFFINITY, (Subject.AFFINITY, 0)),
            (Flags.SOURCE_RANGES, (Subject.SOURCE_RANGES, family)),
        ):
            if of not in pinned and (place := found.first_with(flag, family)):
                name = f"cilium_lb{of[1] or ''}_{of[0]}"
                raise ParseError(f"no eBPF map {name} is pinned, on which {place} depends")


def families_of(document: EbpfMaps) -> frozenset[int]:
    """The families that have a map of frontends."""
    pinned = pinned_maps(document)
    return frozenset(family for subject, family in pinned if subject == Subject.SERVICES and family)


@lru_cache(maxsize=256)
def _protocol(number: int) -> str:
    return PROTOCOLS.get(number, f"protocol {number}")


def _services(found: CiliumMaps, family: int, entries: Iterable[Any], ordered: Net16) -> None:
    found.families.add(family)
    for address, port, slot, protocol, scope, first, count, nat, low, high, left_out in entries:
        place = Place(family, address_of(address), _protocol(protocol), ordered(port), scope)
        if slot:
            found.slots.setdefault(place, {})[slot] = first
        else:
            _require_protocol(place)
            flags = flags_of(high << 8 | low)
            found.frontends[place] = MapFrontend(
                first & SECONDS, count, left_out, ordered(nat), flags
            )


def _require_protocol(place: Place) -> None:
    """Before 1.17, and where it is configured so, one entry is for all protocols."""
    if place.protocol == "any" and not place.is_wildcard:
        raise ParseError(
            f"eBPF map cilium_lb{place.family}_services: {place} has no protocol, as in versions "
            f"of Cilium that this wirecheck does not know: it knows {TRIED}"
        )


def _backends(found: CiliumMaps, family: int, entries: Iterable[Any], ordered: Net16) -> None:
    for identity, address, port, protocol, state, cluster in entries:
        found.backends[family, identity] = MapBackend(
            address_of(address), ordered(port), _protocol(protocol), state, cluster
        )


def _reverse_nat(found: CiliumMaps, family: int, entries: Iterable[Any], ordered: Net16) -> None:
    for identity, address, port in entries:
        found.reverse_nat[family, ordered(identity)] = address_of(address), ordered(port)


def _source_ranges(found: CiliumMaps, family: int, entries: Iterable[Any], ordered: Net16) -> None:
    for prefix, identity, address in entries:
        length = prefix - BITS_OF_SCOPE
        if not 0 <= length <= len(address) * 8:
            raise ParseError(f"eBPF map cilium_lb{family}_source_range: prefix {prefix}")
        bits = int.from_bytes(address, "big") >> (len(address) * 8 - length)
        start = bits << (len(address) * 8 - length)
        range_: IPNetwork = (IPv4Network if family == 4 else IPv6Network)((start, length))
        found.source_ranges.setdefault((family, ordered(identity)), []).append(range_)


def _affinity(found: CiliumMaps, _family: int, entries: Iterable[Any], ordered: Net16) -> None:
    for backend, identity in entries:
        found.affinity.add((backend, ordered(identity)))


Reader = Callable[[CiliumMaps, int, Iterable[Any], Net16], None]
READERS: Mapping[Subject, Reader] = {
    Subject.SERVICES: _services,
    Subject.BACKENDS: _backends,
    Subject.REVERSE_NAT: _reverse_nat,
    Subject.SOURCE_RANGES: _source_ranges,
    Subject.AFFINITY: _affinity,
}
