"""One connection of a visit's plan."""

from __future__ import annotations

from msgspec import Struct


class PlannedContact(Struct, frozen=True, omit_defaults=True):
    """A connection to make; `source` is the uid of a pod, as its cgroup has it, or empty."""

    source: str
    purpose: str
    address: str
    port: int
    times: int = 1
    messages: int = 0
    attempts: int = 2
    """How often it is tried in all where it fails, if it is to be made once."""
    http: bool = False
    """Whether the plan's request is sent, of whose answer the status is noted."""
