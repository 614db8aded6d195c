"""The kernel of one node: its neighbour tables, its log and its clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.kernel_log import LogEvent, genuine, log_events
from wirecheck.node.seen import ABSENT, NodeSeen
from wirecheck.node.table_usage import TableUsage

TABLES = {
    "ARP": ("net.ipv4.neigh.default.gc_thresh3", "/proc/net/stat/arp_cache"),
    "NDP": ("net.ipv6.neigh.default.gc_thresh3", "/proc/net/stat/ndisc_cache"),
}
"""The sysctl with the limit of each neighbour table, and the file with its statistics."""

BOOTING = 60.0
"""Seconds after the start of the kernel by which a complete log has its first message."""

EVALUATED_ELSEWHERE = frozenset({"conntrack table full"})
HARMLESS = frozenset({"syn flood"})
"""Patterns that show a busy listener, not an error of the node's network."""


@dataclass(frozen=True)
class Kernel:
    """The kernel of one node."""

    seen: NodeSeen

    @property
    def neighbour_tables(self) -> Iterator[TableUsage]:
        """The neighbour tables, which all netns of the kernel share.

        Raises NotApplicable in a container: its netns does not show the kernel's limits.
        """
        found = [
            TableUsage(self.seen.part(f"{name} table"), self._entries(file), limit)
            for name, (sysctl, file) in TABLES.items()
            if (limit := self._limit(sysctl)) is not None and file in self.seen.files
        ]
        if not found:
            raise NotApplicable("the node's netns does not show the limits of the kernel's tables")
        yield from found

    def _limit(self, sysctl: str) -> int | None:
        return self.seen.number(sysctl) if self.seen.sysctl(sysctl) != ABSENT else None

    def _entries(self, file: str) -> int:
        """Return column `entries`, which is hexadecimal and the same in the line of each CPU."""
        lines = self.seen.file(file).split("\n")
        try:
            return int(lines[1].split()[lines[0].split().index("entries")], 16)
        except (IndexError, ValueError) as error:
            raise FactMissingError(
                f"{file} on {self.seen.name} has an unrecognised format: its lines must have a "
                "column `entries`."
            ) from error

    @property
    def network_errors(self) -> Iterator[LogEvent]:
        """The network errors that the kernel logged, by pattern."""
        facts = self.seen.facts
        others = EVALUATED_ELSEWHERE | HARMLESS
        lines = (line for line in genuine(self.seen.kernel_log) if line.pattern not in others)
        return log_events(lines, facts.finished)

    def log_gap(self, minutes: float) -> str:
        """Return what the log misses of the last `minutes`; empty if it covers them.

        The kernel overwrites the oldest messages of its ring buffer. A log that begins with the
        boot is complete.
        """
        facts = self.seen.facts
        begin, boot = facts.kernel_log_from, facts.finished - facts.host.uptime
        if begin is None or begin <= max(facts.finished - 60 * minutes, boot + BOOTING):
            return ""
        when = datetime.fromtimestamp(begin, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"messages before {when}, where the kernel's ring buffer begins"

    @property
    def clock_skew(self) -> float:
        """Seconds by which the node's clock is off this machine's at least; positive if ahead.

        The visit lies within the round. What is outside of it by the node's clock is skew.
        """
        current, facts = self.seen.cluster.round, self.seen.facts
        if facts.finished > current.finished:
            return facts.finished - current.finished
        return min(0.0, facts.started - current.started)
