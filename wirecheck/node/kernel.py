"""What the kernel of a node tells of itself: its neighbour table, its log, its clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.node.seen import NodeSeen

TABLES = {
    "ARP": ("net.ipv4.neigh.default.gc_thresh3", "/proc/net/stat/arp_cache"),
    "NDP": ("net.ipv6.neigh.default.gc_thresh3", "/proc/net/stat/ndisc_cache"),
}
JUDGED_ELSEWHERE = frozenset({"conntrack table full"})
HARMLESS = frozenset({"syn flood"})
"""Patterns that tell of a busy listener, and not of the node's network."""


@dataclass(frozen=True)
class NeighbourTable:
    """One of the two tables, which all netns of the kernel share."""

    ref: Ref
    entries: int
    limit: int

    @property
    def use(self) -> float:
        """Percent of the limit."""
        return 100 * self.entries / self.limit if self.limit else 100.0


@dataclass(frozen=True)
class Trouble:
    """Lines of the kernel log of one pattern."""

    pattern: str
    text: str
    when: str
    times: int
    age_minutes: float

    def __str__(self) -> str:
        """The last line, its time and how often there was one like it."""
        return f"{self.text!r} at {self.when}, {self.times} times in the log"


@dataclass(frozen=True)
class Kernel:
    """The kernel of one node."""

    seen: NodeSeen

    @property
    def neighbour_tables(self) -> Iterator[NeighbourTable]:
        """Raises NotApplicable in a container: its netns does not show the kernel's limits."""
        found = [
            NeighbourTable(self.seen.part(f"{name} table"), self._entries(file), limit)
            for name, (sysctl, file) in TABLES.items()
            if (limit := self._limit(sysctl)) is not None and file in self.seen.facts.files
        ]
        if not found:
            raise NotApplicable("the node's netns does not show the limits of the kernel's tables")
        yield from found

    def _limit(self, sysctl: str) -> int | None:
        return self.seen.number(sysctl) if self.seen.sysctl(sysctl) != "absent" else None

    def _entries(self, file: str) -> int:
        """The first column, in hexadecimal, the same for each CPU."""
        lines = self.seen.file(file).split("\n")
        try:
            return int(lines[1].split()[lines[0].split().index("entries")], 16)
        except (IndexError, ValueError) as error:
            raise FactMissingError(f"{file} on {self.seen.name} is not understood.") from error

    @property
    def network_errors(self) -> Iterator[Trouble]:
        """What the log tells of the network, by pattern."""
        facts = self.seen.facts
        patterns = {line.pattern for line in facts.kernel_log} - JUDGED_ELSEWHERE - HARMLESS
        for pattern in sorted(patterns):
            lines = [line for line in facts.kernel_log if line.pattern == pattern]
            last = max(lines, key=lambda line: line.time)
            when = datetime.fromtimestamp(last.time, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            age = (facts.finished - last.time) / 60
            yield Trouble(pattern, last.text, when, len(lines), age)

    @property
    def clock_skew(self) -> float:
        """Seconds by which the node's clock is certainly off this machine's: ahead if positive.

        The visit lies within the look; what is outside of it by the node's clock is its error.
        """
        current, facts = self.seen.cluster.round, self.seen.facts
        if facts.finished > current.finished:
            return facts.finished - current.finished
        return min(0.0, facts.started - current.started)
