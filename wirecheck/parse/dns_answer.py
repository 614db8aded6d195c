"""DNS responses in wire format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from wirecheck.parse.errors import ParseError


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its code, and the data of all records of the requested type."""

    rcode: str
    """NOERROR, NXDOMAIN, SERVFAIL, REFUSED …"""
    data: frozenset[str]
    truncated: bool = False

    def __str__(self) -> str:
        """`10.96.0.1`, or the code if there is no data."""
        return ", ".join(sorted(self.data)) or (
            "an empty answer" if self.rcode == "NOERROR" else self.rcode
        )


MOST_REMEMBERED = 512
LARGEST_REMEMBERED = 512
"""Bytes: that of UDP without EDNS. The pods of a cluster get the same few answers."""


def parse_answer(wire: bytes) -> Answer:
    """Decode a message; raises ParseError for bytes that are not a DNS response."""
    if not 2 < len(wire) <= LARGEST_REMEMBERED:
        return _parsed(wire)
    # Answers to the same query differ in their first two bytes, the id.
    return _remembered(b"\0\0" + wire[2:])


def _parsed(wire: bytes) -> Answer:
    try:
        message = dns.message.from_wire(wire)
        kind = message.question[0].rdtype
        return Answer(
            rcode=dns.rcode.to_text(message.rcode()),
            data=frozenset(
                record.to_text()
                for rrset in message.answer
                if rrset.rdtype == kind
                for record in rrset
            ),
            truncated=bool(message.flags & dns.flags.TC),
        )
    except Exception as error:
        # Each record type has its own decoder, and these raise exceptions of many types.
        why = str(error)[:200] or type(error).__name__
        raise ParseError(f"{len(wire)} bytes that are not a DNS response: {why}") from error


_remembered = lru_cache(maxsize=MOST_REMEMBERED)(_parsed)
