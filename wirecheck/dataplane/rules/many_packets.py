"""Many first packets as one value: each is a bit, one of some ends and one of some ports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress
from wirecheck.dataplane.rules.set_members import Port, Ranges


@dataclass(frozen=True)
class Ends:
    """Where packets come from and go to. Unknown devices are empty."""

    source: IPAddress
    destination: IPAddress
    iif: str = ""
    oif: str = ""
    is_bridged: bool = False
    """Whether they stay on one bridge of the node."""


@dataclass(frozen=True)
class ManyPackets:
    """The first packets of connections between all `ends` to all `ports`."""

    ends: Sequence[Ends]
    ports: Sequence[Port]

    @cached_property
    def all(self) -> int:
        return (1 << (len(self.ends) * len(self.ports))) - 1

    @cached_property
    def _of_one_end(self) -> int:
        return (1 << len(self.ports)) - 1

    @cached_property
    def _first_ports(self) -> int:
        """The packets of all ends to the first port."""
        return self.all // self._of_one_end if self.all else 0

    def of_ends(self, holds: Callable[[Ends], bool]) -> int:
        """The packets between these ends."""
        width, one = len(self.ports), self._of_one_end
        return sum(one << (at * width) for at, each in enumerate(self.ends) if holds(each))

    def of_ports(self, holds: Callable[[Port], bool]) -> int:
        """The packets to these ports."""
        found = sum(1 << at for at, each in enumerate(self.ports) if holds(each))
        return self._first_ports * found

    def of_end(self, at: int, ports: int) -> int:
        """The packets of one end to the ports whose bits are set."""
        return ports << (at * len(self.ports))

    def ports_of_end(self, at: int, packets: int) -> int:
        """The ports of one end, as bits, to which some of these packets go."""
        return (packets >> (at * len(self.ports))) & self._of_one_end

    @cached_property
    def by_destination(self) -> Mapping[IPAddress, int]:
        """The packets to each destination."""
        return self._by(each.destination for each in self.ends)

    @cached_property
    def by_host(self) -> Mapping[str, int]:
        """The same by the destination's text."""
        return {str(address): packets for address, packets in self.by_destination.items()}

    @cached_property
    def by_source(self) -> Mapping[IPAddress, int]:
        """The packets from each source."""
        return self._by(each.source for each in self.ends)

    def of_ranges(self, side: str, ranges: Ranges) -> int:
        """The packets whose source (`src`) or destination (`dst`) is in the ranges."""
        found = 0
        for family, by_number in self._by_number[side].items():
            singles = ranges.singles[family]
            if singles is None:
                numbers = (n for n in by_number if ranges.has_number(family, n))
            else:
                fewer, others = sorted((singles, by_number.keys()), key=len)
                numbers = (n for n in fewer if n in others)
            for number in numbers:
                found |= by_number[number]
        return found

    @cached_property
    def _by_number(self) -> Mapping[str, Mapping[int, Mapping[int, int]]]:
        """By side, family and number of the address."""
        found: dict[str, dict[int, dict[int, int]]] = {"src": {}, "dst": {}}
        for side, by_address in (("src", self.by_source), ("dst", self.by_destination)):
            for address, packets in by_address.items():
                found[side].setdefault(address.version, {})[int(address)] = packets
        return found

    def _by(self, values: Iterable[IPAddress]) -> Mapping[IPAddress, int]:
        found: dict[IPAddress, int] = {}
        for at, value in enumerate(values):
            found[value] = found.get(value, 0) | self.of_end(at, self._of_one_end)
        return found
