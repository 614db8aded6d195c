"""One connection of a visit's plan."""

from __future__ import annotations

from msgspec import Struct


class PlannedContact(Struct, frozen=True, omit_defaults=True):
    """A connection to make; `source` is the uid of a pod as in its cgroup path, or empty."""

    source: str
    purpose: str
    address: str
    port: int
    times: int = 1
    messages: int = 0
    attempts: int = 2
    """The largest number of attempts if it fails and is planned once."""
    http: bool = False
    """Whether the plan's HTTP request is sent, and the status of its response stored."""
