"""`conntrack -L`: one connection per line, with the original and then the reply direction.

udp      17 29 src=10.244.1.5 dst=10.96.0.10 sport=40000 dport=53 [UNREPLIED] src=… mark=0 use=1
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from wirecheck.addresses import IPAddress, address
from wirecheck.parse.errors import ParseError


@dataclass(frozen=True, slots=True)
class Direction:
    """Source and destination of the packets of one direction."""

    source: IPAddress
    destination: IPAddress
    source_port: int
    destination_port: int

    @classmethod
    def from_fields(cls, fields: dict[str, str]) -> Self:
        """Read `src`, `dst`, `sport`, `dport`; raises KeyError or ValueError if one is missing."""
        return cls(
            address(fields["src"]),
            address(fields["dst"]),
            int(fields["sport"]),
            int(fields["dport"]),
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """An entry of the conntrack table."""

    protocol: str
    original: Direction
    reply: Direction
    is_replied: bool
    text: str


def parse_connections(text: str) -> Iterator[Connection]:
    """Yield each connection; raises ParseError for the first line that is not an entry."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield _connection(number, line)


def _connection(number: int, line: str) -> Connection:
    words = line.split()
    if words[0] in ("ipv4", "ipv6"):  # -o extended puts the layer 3 protocol first
        words = words[2:]
    directions: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for word in words:
        name, is_field, value = word.partition("=")
        if is_field:
            directions[name in directions[0]].setdefault(name, value)
    try:
        original, reply = map(Direction.from_fields, directions)
    except (KeyError, ValueError) as error:
        raise ParseError(
            f"conntrack -L, line {number} is not a conntrack entry: {line[:200]!r}"
        ) from error
    return Connection(words[0], original, reply, "[UNREPLIED]" not in words, line.strip())
