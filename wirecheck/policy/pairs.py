"""Pairs of peers with the same meaning, put together so that people can read them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

from wirecheck.policy.peers import Peer

Meaning = TypeVar("Meaning", bound=Hashable)


def merged(
    pairs: Iterable[tuple[Peer, Peer, Meaning]],
) -> list[tuple[tuple[Peer, ...], tuple[Peer, ...], Meaning]]:
    """Sources, targets and what connections between any two of them mean."""
    by_target: dict[tuple[Peer, Meaning], list[Peer]] = {}
    for source, target, meaning in pairs:
        by_target.setdefault((target, meaning), []).append(source)
    by_sources: dict[tuple[tuple[Peer, ...], Meaning], list[Peer]] = {}
    for (target, meaning), sources in by_target.items():
        by_sources.setdefault((tuple(sources), meaning), []).append(target)
    return [(sources, tuple(targets), what) for (sources, what), targets in by_sources.items()]
