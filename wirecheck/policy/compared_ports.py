"""The ports with which policies and their enforcement are compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from wirecheck.dataplane.rules.set_members import Port
from wirecheck.policy.ports import LAST, PROTOCOLS, PortSet
from wirecheck.policy.reach import Reach

UNNAMED = range(40_999, 1_023, -1)
"""A port that nobody names stands for all that nobody names."""


@dataclass(frozen=True)
class ComparedPorts:
    """Ports that stand for all: those that policies name, one for all others, and their neighbours.

    Those that only rules name are the last ones.
    """

    ports: tuple[Port, ...]
    named: int
    """As bits: those that policies name."""
    of_policies: int
    """As bits: all that policies tell apart."""
    _kept: dict[PortSet, int] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, reaches: Iterable[Reach], by_rules: frozenset[Port]) -> ComparedPorts:
        """The ports for comparing what these reaches allow; rules name `by_rules`."""
        sets = {each.ports for r in reaches for each in (*r.allowed, *r.doubts)}
        named = sorted({port for each in sets for port in _ends(each)}, key=_order)
        beside = {port for each in sets for port in _beside(each)}
        known = {*named, *beside, *by_rules}
        for protocol in map(str.lower, PROTOCOLS):
            beside.add((protocol, next(n for n in UNNAMED if (protocol, n) not in known)))
        own = list(dict.fromkeys([*named, *sorted(beside, key=_order)]))
        ports = tuple(dict.fromkeys([*own, *sorted(by_rules, key=_order)]))
        return cls(ports, (1 << len(named)) - 1, (1 << len(own)) - 1)

    def within(self, ports: PortSet) -> int:
        """Those of the ports that are in the set, as bits."""
        if ports not in self._kept:
            self._kept[ports] = sum(
                1 << at
                for at, (protocol, number) in enumerate(self.ports)
                if ports.has(protocol.upper(), number)
            )
        return self._kept[ports]

    def shown(self, bits: int) -> str:
        """`TCP 80, 443 and other ports`: the ports whose bits are set."""
        if bits & self.of_policies == self.of_policies:
            return "every port"
        named = bits & self.named
        chosen = named or bits
        text = str(
            PortSet.of(
                (p.upper(), n, n) for at, (p, n) in enumerate(self.ports) if chosen >> at & 1
            )
        )
        return (
            f"{text} and other ports" if bits & self.of_policies & ~self.named and named else text
        )


def _order(port: Port) -> tuple[int, int]:
    """TCP first, which most ports are of."""
    protocol, number = port
    return ("tcp", "udp", "sctp").index(protocol), number


def _ends(ports: PortSet) -> Iterator[Port]:
    """The first and the last port of each range that is not a whole protocol."""
    for protocol, first, last in ports.ranges:
        if (first, last) != (1, LAST):
            yield from ((protocol.lower(), number) for number in (first, last))


def _beside(ports: PortSet) -> Iterator[Port]:
    """The ports before and after each range."""
    for protocol, first, last in ports.ranges:
        for number in (first - 1, last + 1):
            if 1 <= number <= LAST:
                yield protocol.lower(), number
