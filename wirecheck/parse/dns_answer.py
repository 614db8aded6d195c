"""DNS responses in wire format."""

from __future__ import annotations

from dataclasses import dataclass

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


def parse_answer(wire: bytes) -> Answer:
    """Decode a message; raises ParseError for bytes that are not a DNS response."""
    try:
        message = dns.message.from_wire(wire)
        kind = message.question[0].rdtype
    except (dns.exception.DNSException, IndexError, ValueError) as error:
        raise ParseError(f"{len(wire)} bytes that are not a DNS response: {error}") from error
    return Answer(
        rcode=dns.rcode.to_text(message.rcode()),
        data=frozenset(
            record.to_text() for rrset in message.answer if rrset.rdtype == kind for record in rrset
        ),
        truncated=bool(message.flags & dns.flags.TC),
    )
