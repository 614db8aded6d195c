"""The connection table of a node: its use, what it lost, and entries towards DNS."""

from __future__ import annotations

from dataclasses import dataclass

from wirecheck.addresses import IPAddress
from wirecheck.findings import Ref
from wirecheck.parse.conntrack import Connection

LOSS_COUNTERS = ("drop", "early_drop", "insert_failed")
"""Packets refused by a full table, entries thrown out to make room, races for one entry."""


@dataclass(frozen=True)
class Table:
    """The entries that one netns has in the table; the limit is the same for every netns."""

    ref: Ref
    count: int
    limit: int

    @property
    def use(self) -> float:
        """Percent of the limit."""
        return 100 * self.count / self.limit if self.limit else 100.0


@dataclass(frozen=True)
class TableFull:
    """Lines of the kernel log that tell of a full table."""

    pattern: str
    when: str
    age_minutes: float
    times: int
    text: str

    def __str__(self) -> str:
        """The last line, its time and how often there was one like it."""
        return f"{self.text!r} at {self.when}, {self.times} times in the log"


@dataclass(frozen=True)
class DnsConnection:
    """A UDP entry whose client asked the DNS Service."""

    connection: Connection

    @property
    def client(self) -> IPAddress:
        return self.connection.original.source

    @property
    def service(self) -> IPAddress:
        return self.connection.original.destination

    @property
    def backend(self) -> IPAddress:
        """Who is to answer: the entry expects the reply from there."""
        return self.connection.reply.source

    @property
    def leads_to(self) -> str:
        """Where the entry sends its client's queries."""
        if self.backend == self.service:
            return "not translated at all: made before the Service's rules were there"
        return f"translated to {self.backend}, which is no DNS replica"

    @property
    def text(self) -> str:
        return self.connection.text
