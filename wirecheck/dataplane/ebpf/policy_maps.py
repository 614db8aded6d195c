"""What Cilium's policy map of one endpoint does with connections, as its programs look them up.

Two entries can decide: one for the peer's identity, and one for the identity that stands for all
like it. The one of higher precedence wins, then the one for fewer ports (bpf/lib/policy.h).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from wirecheck.dataplane.ebpf.entries import entries_of, net16
from wirecheck.dataplane.ebpf.layouts import OF_ENDPOINT
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps

BITS_BEFORE, BITS_OF_PROTOCOL, BITS_OF_PORT = 40, 8, 16
"""Of a key: identity and direction are always complete, protocol and port may be prefixes."""
ALL_BITS = BITS_OF_PROTOCOL + BITS_OF_PORT
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
NAMES = {number: name for name, number in PROTOCOLS.items()}
LAST_PORT = 65_535

ANY = 0
AGGREGATES = frozenset({11, 12, 13, 14})
"""The identities that stand for many: pods of the cluster, of other clusters, addresses outside,
other nodes. Cilium 1.20 repeats an entry for every identity for each of them."""
OWN_CLUSTER, OTHER_CLUSTERS, OUTSIDE, OTHER_NODES = 11, 12, 13, 14
SINGLE = 100
"""Identities below have a meaning of their own, and only identity 0 stands for them."""
BITS_OF_CLUSTER = 16
SCOPES = {1: OUTSIDE, 2: OTHER_NODES}
"""By the highest byte of an identity that only this node knows."""

Port = tuple[str, int]


class PolicyEntry(NamedTuple):
    """An entry of a policy map."""

    identity: int
    is_egress: bool
    protocol: int
    port: int
    length: int
    """The bits of protocol and port that count."""
    is_denial: bool
    proxy_port: int
    """Of Cilium's proxy, which decides about these connections; 0 for none."""
    authentication: int
    """How the peers have to authenticate each other; 0 for none."""
    precedence: int

    @property
    def ports(self) -> tuple[int, int]:
        """The first and the last port."""
        own = max(self.length - BITS_OF_PROTOCOL, 0)
        size = 1 << (BITS_OF_PORT - own)
        first = self.port & ~(size - 1)
        return first, first + size - 1

    def matches(self, port: Port) -> bool:
        """Whether a packet to the port meets the entry, if its peer does."""
        if self.length < BITS_OF_PROTOCOL:
            return True
        first, last = self.ports
        return PROTOCOLS[port[0]] == self.protocol and first <= port[1] <= last

    def __str__(self) -> str:
        """`ingress from identity 17193, TCP 5432: allow`."""
        way = "egress to" if self.is_egress else "ingress from"
        peer = "any identity" if self.identity == ANY else f"identity {self.identity}"
        return f"{way} {peer}, {self._shown_ports}: {'deny' if self.is_denial else 'allow'}"

    @property
    def _shown_ports(self) -> str:
        if self.length < BITS_OF_PROTOCOL:
            return "any protocol and port"
        protocol = NAMES.get(self.protocol, f"protocol {self.protocol}").upper()
        first, last = self.ports
        if self.length == BITS_OF_PROTOCOL:
            return f"{protocol}, any port"
        return f"{protocol} {first}" if first == last else f"{protocol} {first}-{last}"


class Decided(NamedTuple):
    """What happens to connections to some ports, and the entry that decides."""

    ports: int
    """As bits."""
    entry: PolicyEntry | None
    """None if no entry matches, so that they are refused."""
    unknown: str = ""
    """Why it is not known what happens; empty if it is."""

    @property
    def is_allowed(self) -> bool:
        return self.entry is not None and not self.entry.is_denial


@dataclass(frozen=True)
class AskedPorts:
    """Ports whose fates are asked for; each is a bit."""

    ports: tuple[Port, ...]
    _kept: dict[tuple[int, int, int], int] = field(default_factory=dict, repr=False)

    @property
    def all(self) -> int:
        return (1 << len(self.ports)) - 1

    def matching(self, entry: PolicyEntry) -> int:
        """The ports that the entry is for."""
        key = (entry.protocol, entry.port, entry.length)
        if key not in self._kept:
            bits = (1 << at for at, port in enumerate(self.ports) if entry.matches(port))
            self._kept[key] = sum(bits)
        return self._kept[key]


@dataclass(frozen=True)
class PolicyMap:
    """The map of one endpoint."""

    name: str
    entries: Mapping[tuple[int, bool], tuple[PolicyEntry, ...]]
    """By identity and whether they are for egress, those for the fewest ports first."""
    own_cluster: int = 0
    """The number of the cluster, with which identities of its pods begin."""

    @classmethod
    def of(cls, found: EbpfMap, byte_order: str, own_cluster: int = 0) -> PolicyMap:
        """Decode a map. Raises ParseError if it is incomplete, damaged or unknown."""
        by_peer: dict[tuple[int, bool], list[PolicyEntry]] = {}
        for each in _entries(found, byte_order):
            by_peer.setdefault((each.identity, each.is_egress), []).append(each)
        sorted_ = {
            key: tuple(sorted(each, key=lambda entry: -entry.length))
            for key, each in by_peer.items()
        }
        return cls(found.name, sorted_, own_cluster)

    @property
    def named_ports(self) -> Iterator[Port]:
        """The ports that entries name, with those around ranges."""
        for entries in self.entries.values():
            for each in entries:
                if each.length > BITS_OF_PROTOCOL and each.protocol in NAMES:
                    first, last = each.ports
                    around = () if first == last else (first - 1, last + 1)
                    for number in (first, last, *around):
                        if 1 <= number <= LAST_PORT:
                            yield NAMES[each.protocol], number

    def peers(self, *, is_egress: bool) -> frozenset[int]:
        """The identities that have entries of their own for the direction."""
        return frozenset(identity for identity, out in self.entries if out is is_egress)

    def as_named(self, identity: int, *, is_egress: bool) -> int:
        """The identity, or one that the map does not tell from it."""
        return identity if (identity, is_egress) in self.entries else self._everybody(identity)

    @property
    def listed(self) -> Iterator[PolicyEntry]:
        """Every entry, without those that repeat one for every identity."""
        for (identity, is_egress), entries in sorted(self.entries.items()):
            everybody = {each[3:] for each in self.entries.get((ANY, is_egress), ())}
            is_repeated = identity in AGGREGATES
            yield from (e for e in entries if not (is_repeated and e[3:] in everybody))

    def decided(self, identity: int, ports: AskedPorts, *, is_egress: bool) -> Iterator[Decided]:
        """What happens to connections of a peer to each of the ports."""
        everybody = self._everybody(identity)
        own = tuple(self._first(identity, ports, is_egress=is_egress))
        others = () if everybody == identity else self._first(everybody, ports, is_egress=is_egress)
        left = ports.all
        for bits, entry in own:
            left &= ~bits
            yield from self._with_others(bits, entry, others)
        for bits, entry in others:
            if alone := bits & left:
                yield _by(alone, entry)
                left &= ~alone
        if left and everybody != ANY:
            # Only where neither matches: the entry for every identity.
            for bits, entry in self._first(ANY, ports, is_egress=is_egress):
                if alone := bits & left:
                    yield _by(alone, entry)
                    left &= ~alone
        if left:
            yield Decided(left, None)

    def for_unknown(self, ports: AskedPorts, why: str, *, is_egress: bool) -> Iterator[Decided]:
        """What happens to connections of a peer whose identity is not known, and why it is not.

        Known are ports that the map allows to everybody, and denies to nobody.
        """
        entries = [e for (_, out), own in self.entries.items() if out is is_egress for e in own]
        left = ports.all
        if not any(each.is_denial or each.proxy_port or each.authentication for each in entries):
            for bits, entry in self._first(ANY, ports, is_egress=is_egress):
                left &= ~bits
                yield Decided(bits, entry)
        if left:
            yield Decided(left, None, why)

    def _with_others(
        self, bits: int, entry: PolicyEntry, others: Iterable[tuple[int, PolicyEntry]]
    ) -> Iterator[Decided]:
        for common, other in others:
            if both := bits & common:
                bits &= ~both
                yield self._of_both(both, entry, other)
        if bits:
            yield _by(bits, entry)

    def _of_both(self, bits: int, own: PolicyEntry, other: PolicyEntry) -> Decided:
        if (other.precedence, other.length) <= (own.precedence, own.length):
            return _by(bits, own, other)
        is_alike = own[5:7] == other[5:7]
        if other.identity == ANY and own.identity >= SINGLE and not is_alike:
            return Decided(bits, other, "versions of Cilium differ in which of two entries decides")
        return _by(bits, other, own)

    def _first(
        self, identity: int, ports: AskedPorts, *, is_egress: bool
    ) -> tuple[tuple[int, PolicyEntry], ...]:
        """The first entry of an identity that each port meets: that for the fewest ports."""
        found, left = [], ports.all
        for entry in self.entries.get((identity, is_egress), ()):
            if not left:
                break
            if bits := ports.matching(entry) & left:
                found.append((bits, entry))
                left &= ~bits
        return tuple(found)

    def _everybody(self, identity: int) -> int:
        """The identity that stands for all like this one.

        Before 1.20 that is identity 0. Since then, identities below 100 are compared with it, and
        others with that of their kind.
        """
        if identity < SINGLE or not self._has_aggregates:
            return identity if identity in AGGREGATES else ANY
        if scope := SCOPES.get(identity >> 24):
            return scope
        is_own = identity >> BITS_OF_CLUSTER == self.own_cluster
        return OWN_CLUSTER if is_own else OTHER_CLUSTERS

    @cached_property
    def _has_aggregates(self) -> bool:
        return any(identity in AGGREGATES for identity, _ in self.entries)


def _by(bits: int, entry: PolicyEntry, other: PolicyEntry | None = None) -> Decided:
    """What an entry decides; `other` is one that matches, too, and does not decide."""
    if entry.is_denial:
        return Decided(bits, entry)
    if entry.proxy_port:
        return Decided(bits, entry, f"Cilium's proxy on port {entry.proxy_port} decides")
    is_equal = other is not None and other.precedence == entry.precedence
    if entry.authentication or (is_equal and other is not None and other.authentication):
        return Decided(bits, entry, "both peers have to authenticate each other")
    return Decided(bits, entry)


def policy_maps_of(document: EbpfMaps) -> Mapping[int, EbpfMap]:
    """The maps of endpoints by the endpoint's number; decoding them is up to `PolicyMap.of`.

    Of several versions for one endpoint the newest counts: an upgrade may leave the older one.
    """
    found: dict[int, EbpfMap] = {}
    for each in sorted(document.maps, key=lambda of: (len(of.name), of.name)):
        if match := OF_ENDPOINT.fullmatch(each.name):
            found[int(match["number"])] = each
    return found


def _entries(found: EbpfMap, byte_order: str) -> Iterator[PolicyEntry]:
    ordered, is_little = net16(byte_order), byte_order == "little"
    for each in entries_of(found, byte_order):
        yield _entry(found.name, each, ordered(each[4]), ordered(each[5]), is_little=is_little)


def _entry(
    name: str, fields: tuple[Any, ...], port: int, proxy_port: int, *, is_little: bool
) -> PolicyEntry:
    prefix, identity, way, protocol, _, _, flags, authentication, precedence = fields
    length = prefix - BITS_BEFORE
    if length not in (0, *range(BITS_OF_PROTOCOL, ALL_BITS + 1)):
        raise ParseError(f"eBPF map {name}: prefix {prefix}")
    # The first field of bits is the lowest on a little-endian node, and the highest on another.
    first = 1 if is_little else 1 << 7
    kind = authentication & 0x7F if is_little else authentication >> 1
    return PolicyEntry(
        identity,
        bool(way & first),
        protocol,
        port,
        length,
        bool(flags & first),
        proxy_port,
        kind,
        precedence,
    )
