"""Messages of the kernel about the network, recognised by their beginning.

A process chooses its name (comm, 15 characters), an interface name has no space, and a file name
stands behind the name of its file system. So a pattern matches from the start of a message, and
needs words of the kernel where such a name could stand. The node program has the same patterns.
"""

from __future__ import annotations

import re

PATTERNS = {
    "conntrack table full": r"(?:(?:nf|ip)_conntrack: )+table full\b",
    "neighbour table overflow": (
        r"(?:neighbour: |IPv[46]: |ipv[46]: )?(?:\w+_cache: )?[Nn]eighbou?r table overflow"
    ),
    "route cache full": (
        r"(?:IPv[46]: |ipv[46]: )?(?:Route cache is full: consider|dst cache overflow)"
    ),
    "netdev watchdog": (
        r"(?:netdevice: \S+: |(?:[\w.,+-]+ [\w.:,@+-]*[\w-] )?(?:\S{1,15}|\(unnamed net_device\))"
        r"(?: \((?:uninitialized|unregister(?:ing|ed)|released|dummy|unknown)\))?: )?"
        r"NETDEV WATCHDOG: (?:\S+ \([^()]*\)|CPU: \d+): transmit queue \d+ timed out"
    ),
    "duplicate address": (
        r"(?:IPv6: |ICMPv6: )?\S{1,15}: (?:IPv6 duplicate address \S+ (?:used by \S+ )?detected"
        r"|received packet on \S+ with own address as source)"
    ),
    "netns not freed": r"unregister_netdevice: waiting for \S+ to become free",
    "syn flood": r"(?:TCP: )?(?:\w+: )?[Pp]ossible SYN flooding on port",
    "out of memory": (
        r"(?:TCP: )?(?:[Oo]ut of socket memory|too many (?:of )?orphaned sockets"
        r"|out of memory -- consider tuning tcp_mem)"
    ),
}
"""By the name of the pattern."""

_COMPILED = {name: re.compile(pattern) for name, pattern in PATTERNS.items()}


def pattern_of(text: str) -> str:
    """The pattern that a message matches; empty if it matches none."""
    return next((name for name, pattern in _COMPILED.items() if pattern.match(text)), "")
