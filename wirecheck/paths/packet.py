"""The packet that is followed: the first of a connection, or the first of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.backend import with_port

EPHEMERAL = 45_000
"""Stands for the client's port, which the kernel chooses (ip_local_port_range: 32768 to 60999)."""
UNSPECIFIED = {4: address("0.0.0.0"), 6: address("::")}
"""By family: no source is chosen yet."""

TTL = 64
"""The kernel's default (net.ipv4.ip_default_ttl)."""


class Phase(Enum):
    """Which packet of a connection it is."""

    FIRST = "first"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Segment:
    """A packet as rules and routes see it."""

    source: IPAddress
    destination: IPAddress
    protocol: str
    port: int
    """The destination port."""
    source_port: int = EPHEMERAL
    mark: int = 0
    ttl: int = TTL
    ttl_by: str = ""
    """The rule that changed the TTL."""
    phase: Phase = Phase.FIRST
    length: int = 0
    """Of the IP packet in bytes; 0 if nobody asked for its size."""

    @property
    def family(self) -> int:
        return self.destination.version

    @property
    def is_answer(self) -> bool:
        return self.phase is Phase.ANSWER

    @property
    def target(self) -> str:
        """`10.244.1.9:80`, without the port of a client."""
        if self.port == EPHEMERAL:
            return str(self.destination)
        return with_port(str(self.destination), self.port)

    def __str__(self) -> str:
        """`tcp 10.244.0.9 > 10.244.1.9:80`."""
        source = str(self.source)
        if self.source_port != EPHEMERAL:
            source = with_port(source, self.source_port)
        return f"{self.protocol} {source} > {self.target}"
