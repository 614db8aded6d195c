"""Replaces names and addresses in DNS responses in wire format."""

from __future__ import annotations

import base64
import binascii

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from wirecheck.snapshot.redact_text import TextMap

NO_ANSWER = base64.b64encode(b"\xff" * 5).decode()
"""Replaces bytes that are not a DNS response, and cannot be decoded either."""

WITH_NAMES = frozenset({"PTR", "CNAME", "NS", "DNAME", "SRV", "MX", "SOA"})


def redacted_answer(texts: TextMap, encoded: str) -> str:
    """A probe's response in base64, redacted; one that cannot be decoded becomes NO_ANSWER."""
    if not encoded:
        return encoded
    try:
        known = dns.message.from_wire(base64.b64decode(encoded, validate=True))
        return base64.b64encode(_message(texts, known)).decode()
    except (dns.exception.DNSException, binascii.Error, ValueError, IndexError):
        return NO_ANSWER


def _message(texts: TextMap, known: dns.message.Message) -> bytes:
    fresh = dns.message.Message(id=known.id)
    fresh.flags = known.flags
    fresh.set_rcode(known.rcode())
    for section, old in zip(fresh.sections, known.sections, strict=True):
        section.extend(mapped for rrset in old for mapped in _rrset(texts, rrset))
    if known.edns >= 0:
        # Options may contain anything, such as the server's name (RFC 5001): none is kept.
        fresh.use_edns(known.edns, known.ednsflags, known.payload)
    fresh.flags = known.flags
    return fresh.to_wire(max_size=65535)


def _rrset(texts: TextMap, known: dns.rrset.RRset) -> list[dns.rrset.RRset]:
    name = _name(texts, known.name)
    if not known:  # A question, which has no data.
        return [dns.rrset.RRset(name, known.rdclass, known.rdtype)]
    records = [text for record in known if (text := _data(texts, record)) is not None]
    if not records:
        return []
    kind = dns.rdatatype.to_text(known.rdtype)
    return [dns.rrset.from_text(name, known.ttl, "IN", kind, *records)]


def _name(texts: TextMap, name: dns.name.Name) -> dns.name.Name:
    return dns.name.from_text(_name_text(texts, name.to_text()))


def _name_text(texts: TextMap, text: str) -> str:
    root = "." if text.endswith(".") else ""
    inner = text.removesuffix(".")
    if inner.lower().endswith(".arpa"):
        return texts.opaque(inner) + root
    return (texts.names.domain(inner) if inner else "") + root


def _data(texts: TextMap, record: dns.rdata.Rdata) -> str | None:
    """The record's data; None for record types that no check uses."""
    kind = dns.rdatatype.to_text(record.rdtype)
    if kind in ("A", "AAAA"):
        return texts.opaque(record.to_text())
    if kind in WITH_NAMES:
        words = record.to_text().split()
        return " ".join(w if w.isdigit() else _name_text(texts, w) for w in words)
    return None
