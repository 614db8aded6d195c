"""Conditions on the port that a client connects from."""

from __future__ import annotations

from collections.abc import Iterable

UNPRIVILEGED = (1024, 65535)
"""The kernel chooses a client's port among these (net.ipv4.ip_local_port_range).

What comes from a lower port is the response of a server.
"""


def matches_clients(spans: Iterable[tuple[str | int, str | int]]) -> bool | None:
    """Whether the first packets of all clients come from these ports; None if some may."""
    ranges = sorted((int(first), int(last)) for first, last in spans)
    low, high = UNPRIVILEGED
    if all(last < low for _, last in ranges):
        return False
    reached = low
    for first, last in ranges:
        if first <= reached:
            reached = max(reached, last + 1)
    return True if reached > high else None
