"""IP addresses and ranges as values, and the tolerant reader of those in API objects."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from socket import AF_INET, inet_ntop, inet_pton

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

LONGEST = 64
"""Characters of an address or a range in an API object; the longest valid range has 49."""
_PADDED = re.compile(r"(?:^|\.)0[0-9]")
_DOTTED = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,10}){3}")
_LENGTH = re.compile(r"[0-9]{1,3}")


@lru_cache(maxsize=200_000)
def address(text: str) -> IPAddress:
    """The address in `text`; raises ValueError where it is none."""
    return ip_address(text)


def canonical(text: str) -> str:
    """The one way to write the address in `text`; raises ValueError where it is none.

    The C library reads IPv4 ten times as fast as `ipaddress`, and the rules of 10,000 Services
    hold 100,000 addresses.
    """
    try:
        return inet_ntop(AF_INET, inet_pton(AF_INET, text))
    except OSError:
        return str(address(text))


def is_ipv4(text: str) -> bool:
    """Whether it is an IPv4 address."""
    try:
        inet_pton(AF_INET, text)
    except OSError:
        return False
    return True


def is_canonical_ipv4(text: str) -> bool:
    """Whether it is an IPv4 address as everybody writes it: no other form, no other text."""
    try:
        return inet_ntop(AF_INET, inet_pton(AF_INET, text)) == text
    except (OSError, ValueError):
        return False


def number_of(text: str) -> int:
    """The address in `text` as a number; raises ValueError where it is none."""
    return int.from_bytes(inet_pton(AF_INET, text), "big") if is_ipv4(text) else int(address(text))


def addresses(texts: Iterable[str]) -> frozenset[IPAddress]:
    """All addresses in `texts`; empty ones, which the API uses for "none yet", are left out."""
    return frozenset(address(text) for text in texts if text)


@lru_cache(maxsize=50_000)  # kube-ipvs0 has an address for each Service, the same on all nodes
def network(text: str) -> IPNetwork:
    """The range in `text`, host bits allowed; raises ValueError where it is none."""
    return ip_network(text, strict=False)


def api_address(text: str) -> IPAddress | None:
    """The address in a field of an API object, read as Kubernetes' own components read it.

    The API server accepts old forms, and any text in some fields. As in Go's ParseIPSloppy, leading
    zeros are decimal (`010.0.0.1` is 10.0.0.1) and an IPv4-mapped IPv6 address is that IPv4
    address. None for anything else. An address with a zone has a meaning on one host only.
    """
    if len(text) > LONGEST or "%" in text:
        return None
    try:
        return _unmapped(address(_without_leading_zeros(text)))
    except ValueError:
        return None


def api_network(text: str) -> IPNetwork | None:
    """The range in a field of an API object, host bits allowed; None if it is not a range.

    As in Go's ParseCIDRSloppy, the prefix length must be there, as a number.
    """
    base, slash, length = text.strip().partition("/")
    start = api_address(base)
    if not slash or start is None or not _LENGTH.fullmatch(length):
        return None
    bits = int(length)
    if start.version == 4 and ":" in base:
        bits -= 96  # an IPv4-mapped range
    try:
        return network(f"{start}/{bits}")
    except ValueError:
        return None


def _without_leading_zeros(text: str) -> str:
    if _PADDED.search(text) and _DOTTED.fullmatch(text):
        return ".".join(str(int(each)) for each in text.split("."))
    return text


def _unmapped(known: IPAddress) -> IPAddress:
    mapped = known.ipv4_mapped if isinstance(known, IPv6Address) else None
    return mapped or known


def contains(ranges: Iterable[IPNetwork], member: IPAddress) -> bool:
    """Whether one of the ranges, which may be of both families, holds `member`."""
    return any(member.version == each.version and member in each for each in ranges)
