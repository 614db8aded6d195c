"""What Cilium's maps do with connections to Services on one node.

Follows the look-ups of Cilium's programs (bpf/bpf_sock.c, bpf/lib/lb.h, bpf/lib/nodeport.h). With
socket load balancing the node and its pods are translated when they connect, so the Service's
address is never on the wire, and the entry of the map decides alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import NamedTuple

from msgspec import structs

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.clients import Intervals, difference, intervals
from wirecheck.dataplane.compare.tolerance import CILIUM
from wirecheck.dataplane.ebpf.maps import (
    EXTERNAL,
    INTERNAL,
    SURROGATES,
    CiliumMaps,
    Flags,
    MapBackend,
    MapFrontend,
    Place,
)
from wirecheck.dataplane.ebpf.node_view import NODE_PORTS, OUTSIDE, CiliumNode
from wirecheck.dataplane.expected.handling import restricted
from wirecheck.dataplane.table import (
    NOTHING,
    Client,
    Entry,
    Frontend,
    Handling,
    Masquerade,
    RuleText,
    ServiceTable,
    Verdict,
)

HOST_PORT = "a host port"
"""`programmed_by` of entries that no Service has, but a pod with a host port."""
REDIRECTED = "a CiliumLocalRedirectPolicy"
UNDECIDED = {
    Flags.LOCAL_REDIRECT: "a CiliumLocalRedirectPolicy chooses its backends, which is not compared",
    Flags.L7: "Cilium's proxy forwards its connections, which is not compared",
    Flags.NAT_46X64: "its connections change their IP family, which is not compared",
}


def read_cilium(
    maps: CiliumMaps,
    node: CiliumNode,
    wanted: Iterable[Frontend],
    addresses: Collection[str] | None = None,
) -> ServiceTable:
    """The table of a node, or of these addresses. `wanted` names further frontends to read."""
    reader = _Reader(maps, node, addresses)
    entries = {frontend: reader.entry(frontend) for frontend in reader.programmed}
    for frontend in wanted:
        if frontend not in entries:
            entries[frontend] = reader.entry(frontend)
    return ServiceTable(entries=entries)


def entry_in(maps: CiliumMaps, node: CiliumNode, frontend: Frontend) -> Entry:
    """How each kind of client is handled at one frontend."""
    return _Reader(maps, node).entry(frontend)


@dataclass(frozen=True)
class _Reader:
    maps: CiliumMaps
    node: CiliumNode
    addresses: Collection[str] | None = None

    @cached_property
    def programmed(self) -> tuple[Frontend, ...]:
        """Every frontend of the maps; wildcard entries only drop what nothing else handles."""
        return tuple(
            dict.fromkeys(
                self._frontend(place, entry)
                for place, entry in self.maps.frontends.items()
                if not place.is_wildcard
                and (self.addresses is None or place.address in self.addresses)
            )
        )

    def _frontend(self, place: Place, entry: MapFrontend) -> Frontend:
        address = place.address
        if _traits(entry.flags).is_node_port:
            address = self.node.frontend_address(place.family, address)
        return Frontend(place.family, address, place.protocol, place.port)

    def entry(self, frontend: Frontend) -> Entry:
        """How each kind of client is handled at a frontend."""
        place = self._place(frontend)
        from_here = self._handling(place, is_from_here=True)
        handlings = {
            each: self._handling(place, is_from_here=False) if each is Client.OUTSIDE else from_here
            for each in self.node.kinds
        }
        return Entry(frontend, handlings, programmed_by=self._programmed_by(frontend))

    def _programmed_by(self, frontend: Frontend) -> str:
        entry = self.maps.frontends.get(self._place(frontend))
        return CILIUM if entry is None else _traits(entry.flags).owner

    def _place(self, frontend: Frontend, scope: int = EXTERNAL) -> Place:
        family, address, protocol, port = frontend
        own = address or self.node.addresses.get(family, "")
        return Place(family, own, protocol, port, scope)

    def _handling(self, wanted: Place, *, is_from_here: bool) -> Handling:
        place = self._lookup(wanted, east_west=is_from_here)
        if place is None:
            return NOTHING
        entry = self.maps.frontends[place]
        traits = _traits(entry.flags)
        if traits.undecided:
            return Handling(Verdict.UNDECIDED, reason=traits.undecided)
        if not is_from_here and not traits.is_routable:
            return Handling(Verdict.DROP, evidence=((partial(_line, place, entry),),))
        handling = self._forwarded(place, entry)
        is_decided = handling.verdict is not Verdict.UNDECIDED
        if is_from_here or not traits.checks_sources or not is_decided:
            return handling
        sources, allowed = OUTSIDE[place.family], self._allowed(place.family, entry)
        limited = restricted(handling, sources, allowed, place.family)
        return structs.replace(limited, evidence=handling.evidence)

    def _lookup(self, place: Place, *, east_west: bool) -> Place | None:
        """The entry that connections to an address and port meet.

        Without kube-proxy's replacement pods' packets are looked up like those from outside. The
        entry for all other ports of an address drops packets: there, too, the frontend is missing.
        """
        is_from_here = east_west and self.node.replaces_kube_proxy
        found = self._scoped(place, east_west=is_from_here)
        if found or not is_from_here:
            return found
        is_own = place.address in self.node.local_addresses and place.port in NODE_PORTS
        surrogate = place._replace(address=SURROGATES[place.family])
        found = self._scoped(surrogate, east_west=True) if is_own else None
        is_node_port = found and _traits(self.maps.frontends[found].flags).is_node_port
        return found if is_node_port else None

    def _scoped(self, place: Place, *, east_west: bool) -> Place | None:
        entry = self.maps.frontends.get(place)
        if entry is None:
            return None
        if not east_west or not _traits(entry.flags).has_two_scopes:
            return place
        inner = place._replace(scope=INTERNAL)
        return inner if inner in self.maps.frontends else None

    def _forwarded(self, place: Place, entry: MapFrontend) -> Handling:
        head: RuleText = partial(_line, place, entry)
        if entry.active == 0:
            return Handling(Verdict.REJECT, evidence=((head,),))
        if broken := self._broken_reply(place, entry):
            return Handling(Verdict.DROP, reason=broken, evidence=((head,),))
        lines: dict[Backend, list[RuleText]] = {}
        shares: dict[Backend, int] = {}
        used = tuple(self._used(place, entry))
        if cluster := next((known.cluster for _, _, known in used if known.cluster), 0):
            reason = f"a backend is of cluster {cluster} of a ClusterMesh, which is not compared"
            return Handling(Verdict.UNDECIDED, reason=reason, evidence=((head,),))
        for slot, identity, known in used:
            backend = Backend(known.address, known.port)
            shares[backend] = shares.get(backend, 0) + 1
            text = partial(_slot_line, place, slot, identity, known)
            lines.setdefault(backend, [head]).append(text)
        if not shares:
            reason = f"{entry.active} slots, and none has a backend"
            return Handling(Verdict.REJECT, reason=reason, evidence=((head,),))
        backends = tuple(sorted(shares))
        return Handling(
            Verdict.FORWARD,
            backends,
            tuple(shares[each] / entry.active for each in backends),
            self._affinity(entry, {identity for _, identity, _ in used}),
            Masquerade.UNKNOWN,
            # Its programs give these connections a source of their own (lb.h), without any map.
            frozenset(backends),
            evidence=tuple(tuple(lines[each]) for each in backends),
        )

    def _used(self, place: Place, entry: MapFrontend) -> Iterator[tuple[int, int, MapBackend]]:
        """The slots that new connections are spread over, with the backends that exist.

        A connection that meets a slot or a backend that is missing fails.
        """
        slots = self.maps.slots.get(place, {})
        for slot in range(1, entry.active + 1):
            identity = slots.get(slot, 0)
            if known := self.maps.backends.get((place.family, identity)):
                yield slot, identity, known

    def _broken_reply(self, place: Place, entry: MapFrontend) -> str:
        """Why replies do not get the Service's address as their source; empty if they do."""
        if place.is_surrogate:
            return ""
        found = self.maps.reverse_nat.get((place.family, entry.reverse_nat))
        if found == (place.address, place.port):
            return ""
        words = Backend(*found) if found else "nothing"
        return (
            f"reverse NAT entry {entry.reverse_nat} is {words}, so replies have another source "
            f"than {Backend(place.address, place.port)}"
        )

    def _affinity(self, entry: MapFrontend, ids: Iterable[int]) -> tuple[int, ...]:
        """Clients return only to backends that the affinity map has for this frontend."""
        if not _traits(entry.flags).has_affinity:
            return (0,)
        seconds = {
            entry.affinity if (each, entry.reverse_nat) in self.maps.affinity else 0 for each in ids
        }
        return tuple(sorted(seconds))

    def _allowed(self, family: int, entry: MapFrontend) -> Intervals:
        ranges = intervals(self.maps.source_ranges.get((family, entry.reverse_nat), ()))
        if entry.flags & Flags.DENIES_RANGES:
            return difference(OUTSIDE[family], ranges)
        return ranges


class _Traits(NamedTuple):
    """What flags mean; comparing flags one by one is slow."""

    is_node_port: bool
    is_routable: bool
    checks_sources: bool
    has_two_scopes: bool
    has_affinity: bool
    owner: str
    undecided: str


@lru_cache(maxsize=1 << 16)
def _traits(flags: Flags) -> _Traits:
    owner = CILIUM
    if flags & (Flags.HOST_PORT | Flags.LOCAL_REDIRECT):
        owner = HOST_PORT if flags & Flags.HOST_PORT else REDIRECTED
    undecided = next((reason for flag, reason in UNDECIDED.items() if flags & flag), "")
    return _Traits(
        is_node_port=bool(flags & Flags.NODE_PORT),
        is_routable=bool(flags & Flags.ROUTABLE),
        checks_sources=bool(flags & Flags.SOURCE_RANGES),
        has_two_scopes=bool(flags & Flags.TWO_SCOPES),
        has_affinity=bool(flags & Flags.AFFINITY),
        owner=owner,
        undecided=undecided,
    )


def _line(place: Place, entry: MapFrontend) -> str:
    """`cilium_lb4_services_v2: 10.96.0.1:443/tcp, 2 backends`."""
    words = [f"{entry.active} backends" if entry.active != 1 else "1 backend"]
    words += [f"{entry.left_out} more left out"] if entry.left_out else []
    words += [f"affinity of {entry.affinity} s"] if entry.flags & Flags.AFFINITY else []
    words += _flag_words(entry.flags)
    return f"cilium_lb{place.family}_services: {place}, {', '.join(words)}"


def _flag_words(flags: Flags) -> Iterator[str]:
    names: Mapping[Flags, str] = {
        Flags.EXTERNAL_IP: "external IP",
        Flags.NODE_PORT: "node port",
        Flags.LOAD_BALANCER: "load balancer",
        Flags.SOURCE_RANGES: "source ranges",
    }
    return (words for flag, words in names.items() if flags & flag)


def _slot_line(place: Place, slot: int, identity: int, backend: MapBackend) -> str:
    return f"cilium_lb{place.family}_services: {place} slot {slot}: backend {identity}, {backend}"
