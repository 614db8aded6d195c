"""Conditions of rules that the comparison of Services leaves open for answers."""

from __future__ import annotations

import re

from wirecheck.paths.packet import EPHEMERAL, Segment

SOURCE_PORT = re.compile(r"(?:--sports?|(?:tcp|udp|sctp|th) sport) ([\d,:-]+)(?= |$)")
REVERSE_PATH = "rpfilter"
DISCOVERY = "ipv6-icmp"
"""The protocol of neighbour discovery; the port of such a packet is its ICMP type."""
ICMP_TYPE = re.compile(r"(?:--icmpv6-type|icmpv6 type) ([\w,-]+)(?![\w/,-])")
OF_DISCOVERY = {"nd-neighbor-solicit": 135, "nd-neighbor-advert": 136}
OTHERS = (
    *("tcp-flags", "tcp flags", "connmark", "ct mark", "ct direction", "ct status", "pkttype"),
    *("uid-owner", "gid-owner", "skuid", "skgid", "--syn", "socket-exists", "! --sport"),
    *("sport !=", "sport {", "sport @", "! --sports"),
)
"""Conditions on later packets that are not followed."""


def source_port_matches(condition: str, packet: Segment) -> bool | None:
    """Whether `--sport 53` and the like match; None for a port that the kernel chooses."""
    if packet.protocol == DISCOVERY:
        return _type_matches(condition, packet.port)
    found = SOURCE_PORT.search(condition)
    if found is None or packet.source_port == EPHEMERAL:
        return None
    spans = (re.split("[:-]", each) for each in found.group(1).split(","))
    try:
        return any(int(low) <= packet.source_port <= int(high[-1] if high else low)
                   for low, *high in spans)  # fmt: skip
    except ValueError:
        return None


def _type_matches(condition: str, number: int) -> bool | None:
    """Whether a condition on the ICMP type matches; None for any other condition."""
    found = ICMP_TYPE.search(condition)
    if found is None:
        return None
    names = found.group(1).split(",")
    return any(each == str(number) or OF_DISCOVERY.get(each) == number for each in names)


def answer_matches(rule: str, packet: Segment, *, is_back: bool | None) -> bool | None:
    """Whether an answer matches a rule with a condition that only first packets decide.

    `is_back`: whether the route back to its source leaves by the device that it came in by.
    """
    if any(each in rule for each in OTHERS):
        return None
    answers: list[bool | None] = []
    if REVERSE_PATH in rule:
        answers.append(False if is_back and "--invert" in rule else None)
    if SOURCE_PORT.search(rule):
        answers.append(source_port_matches(rule, packet))
    return False if False in answers else None if None in answers or not answers else True
