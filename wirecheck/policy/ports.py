"""Sets of ports, by protocol: what a rule of a policy allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

PROTOCOLS = ("TCP", "UDP", "SCTP")
"""The protocols that NetworkPolicy defines. For all others, such as ICMP, the API leaves the
behaviour to the network plugin."""
LAST = 65535

PortRange = tuple[str, int, int]
"""A protocol, the first port and the last port."""


@dataclass(frozen=True, slots=True)
class PortSet:
    """Ports of the defined protocols: disjoint ranges in order, with gaps between them."""

    ranges: tuple[PortRange, ...] = ()

    @classmethod
    def of(cls, ranges: Iterable[PortRange]) -> PortSet:
        """The set of these ranges, which may overlap."""
        merged: list[PortRange] = []
        for protocol, first, last in sorted(ranges):
            if merged and merged[-1][0] == protocol and first <= merged[-1][2] + 1:
                merged[-1] = (protocol, merged[-1][1], max(last, merged[-1][2]))
            elif first <= last:
                merged.append((protocol, first, last))
        return cls(tuple(merged))

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __or__(self, other: PortSet) -> PortSet:
        return PortSet.of(self.ranges + other.ranges)

    def __and__(self, other: PortSet) -> PortSet:
        return PortSet.of(
            (protocol, max(first, start), min(last, end))
            for protocol, first, last in self.ranges
            for kind, start, end in other.ranges
            if kind == protocol and first <= end and start <= last
        )

    def __sub__(self, other: PortSet) -> PortSet:
        return self & other.complement

    @property
    def complement(self) -> PortSet:
        """Every other port of the defined protocols."""
        return PortSet.of(gap for each in PROTOCOLS for gap in self._gaps(each))

    def _gaps(self, protocol: str) -> Iterator[PortRange]:
        start = 1
        for kind, first, last in self.ranges:
            if kind == protocol:
                yield protocol, start, first - 1
                start = last + 1
        yield protocol, start, LAST

    def has(self, protocol: str, port: int) -> bool:
        """Whether the port is in the set."""
        return any(kind == protocol and first <= port <= last for kind, first, last in self.ranges)

    def __str__(self) -> str:
        if self == ALL_PORTS:
            return "all ports"
        by_protocol = groupby(self.ranges, key=lambda each: each[0])
        return "; ".join(_shown(protocol, list(each)) for protocol, each in by_protocol) or "none"


def _shown(protocol: str, ranges: list[PortRange]) -> str:
    if ranges == [(protocol, 1, LAST)]:
        return f"all {protocol} ports"
    shown = (str(first) if first == last else f"{first}-{last}" for _, first, last in ranges)
    return f"{protocol} {', '.join(shown)}"


NO_PORTS = PortSet()
ALL_PORTS = PortSet.of((each, 1, LAST) for each in PROTOCOLS)


def whole(protocol: str) -> PortSet:
    """All ports of the protocol."""
    return PortSet(((protocol, 1, LAST),))
