"""What only the round before helper pods were created shows. Pure.

A new pod makes agents of the network write to the node: Calico's felix applies everything it knows
at once. So creating helper pods can repair a fault before the first round that uses them. What was
there before counts as it does in a run without helper pods, and is never lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.registry import Check
from wirecheck.evaluation.round_result import Identity, RoundResult
from wirecheck.evaluation.settling import (
    FAILURES,
    Healed,
    flaky_rounds,
    is_in_flight,
    is_proven,
)
from wirecheck.snapshot.index import SnapshotIndex

PROBES = frozenset({Fact.DNS, Fact.CONTACTS, Fact.HELPER_PODS})
"""What the round before helper pods does not have: it sends nothing."""


def is_read_before(check: Check) -> bool:
    """Whether the round before helper pods has everything that the check needs."""
    return PROBES.isdisjoint(check.facts)


def healed(
    check: Check, before: RoundResult, rounds: Sequence[RoundResult]
) -> dict[Identity, Healed]:
    """The findings of `before` that count and that none of the later `rounds` has."""
    known = {each for later in rounds for each in _identities(later)}
    found = {
        identity: _healed(check, before, rounds, identity)
        for identity in _identities(before)
        if identity not in known
    }
    return {identity: each for identity, each in found.items() if each}


def unknown_before(before: RoundResult, rounds: Sequence[RoundResult]) -> str:
    """Why the check could not be evaluated before, although it could later; empty if it could."""
    if not before.error or rounds[0].error or rounds[0].skip:
        return ""
    return f"before helper pods were created: {before.error}"


def unread_before(index: SnapshotIndex) -> Iterator[str]:
    """A note about each node that was read only after helper pods were created."""
    if index.before is None or not index.looks:
        return
    for name, visit in index.looks[0].visits.items():
        earlier = index.before.visits.get(name)
        if visit.status.reached and not (earlier and earlier.status.reached):
            why = earlier.reason if earlier else "The API did not list it yet."
            yield (
                f"{name} could not be read before helper pods were created, so what their creation "
                f"may have repaired there is unknown. {why}"
            )


def _healed(
    check: Check, before: RoundResult, rounds: Sequence[RoundResult], identity: Identity
) -> Healed | None:
    finding = before.findings.get(identity) or before.undecided[identity]
    proven = is_proven(check, [before], identity)
    is_gone = not (rounds[0].error or rounds[0].skip)
    if proven or not check.settles:
        return Healed(finding, None, proven, is_gone)
    if finding.level not in FAILURES or is_in_flight(before, identity):
        return None
    return Healed(finding, flaky_rounds([before, *rounds], identity), proven, is_gone)


def _identities(result: RoundResult) -> Iterator[Identity]:
    yield from result.findings
    yield from result.undecided
