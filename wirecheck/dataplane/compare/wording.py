"""What was expected and found, in words for a report."""

from __future__ import annotations

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.table import Handling, Verdict


def verdict_of(handling: Handling) -> str:
    """How connections end, and where."""
    if handling.verdict is Verdict.FORWARD:
        return f"forwarded to {listed(handling.backends)}"
    if handling.reason:
        return f"{handling.verdict}: {handling.reason}"
    return handling.verdict


def listed(backends: tuple[Backend, ...]) -> str:
    """The first few backends."""
    shown = ", ".join(map(str, backends[:8]))
    return f"{shown} and {len(backends) - 8} more" if len(backends) > 8 else shown


def shares_of(handling: Handling) -> str:
    """The share of new connections of each backend."""
    pairs = list(zip(handling.backends, handling.shares, strict=True))
    different = set(handling.shares)
    if len(different) == 1:
        return f"{different.pop():.2%} to each of {len(pairs)}"
    shown = ", ".join(f"{share:.2%} to {backend}" for backend, share in pairs[:8])
    return f"{shown} and {len(pairs) - 8} more" if len(pairs) > 8 else shown


def affinity_of(handling: Handling) -> str:
    """How long clients stay with a backend."""
    return " or ".join(
        f"affinity of {seconds} s" if seconds else "no affinity" for seconds in handling.affinity
    )


def sources_of(allowed: tuple[str, ...] | None) -> str:
    """The sources that connections are accepted from."""
    return "from all addresses" if allowed is None else f"only from {', '.join(allowed[:8])}"
