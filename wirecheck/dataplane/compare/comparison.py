"""Compares the expected with the read table; checks turn the differences into findings.

differences = compare(expected, actual)
for each in differences.of(Kind.BACKEND_STALE):
    yield Finding(..., expected=each.expected, found=each.found, evidence=each.evidence)
"""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.compare.claims import is_made_of_claims
from wirecheck.dataplane.compare.deviations import (
    MOST_LINES,
    Deviation,
    backends_without_hairpin,
    deviations_in,
    deviations_of,
)
from wirecheck.dataplane.compare.differences import Difference, Differences, Kind
from wirecheck.dataplane.compare.tolerance import allows_the_same, is_foreign
from wirecheck.dataplane.compare.wording import verdict_of
from wirecheck.dataplane.table import Client, Entry, Frontend, Handling, ServiceTable, Verdict
from wirecheck.text import middle_cut


class EqualEntries:
    """Frontends with equal entries on both sides; on most nodes they are these again."""

    MOST = 100_000

    def __init__(self) -> None:
        self._pairs: dict[Frontend, tuple[Entry, Entry]] = {}

    def has(self, expected: Entry, actual: Entry | None) -> bool:
        """Whether the very same entries were found to be equal."""
        known = self._pairs.get(expected.frontend)
        return known is not None and known[0] is expected and known[1] is actual

    def add(self, expected: Entry, actual: Entry) -> None:
        """Keep the pair if it is equal on every node, regardless of local backends."""
        found = actual.handlings.get(Client.POD)
        if found is not None and any(backends_without_hairpin(found, frozenset(found.backends))):
            return
        if len(self._pairs) >= self.MOST:
            self._pairs.clear()
        self._pairs[expected.frontend] = expected, actual


def compare(
    expected: ServiceTable, actual: ServiceTable, equal: EqualEntries | None = None
) -> Differences:
    """Every difference between two tables of one node.

    `actual` must have been read with `also=expected.entries`: a missing frontend counts as not
    programmed. `equal` keeps equal entries for other nodes.
    """
    equal = EqualEntries() if equal is None else equal
    found: list[Difference] = []
    for frontend, entry in expected.entries.items():
        other = actual.entries.get(frontend)
        if equal.has(entry, other):
            continue
        if other is not None and _is_same(entry, other, expected.local_backends):
            equal.add(entry, other)
            continue
        claims = expected.contested.get(frontend) or expected.ambiguous.get(frontend, (entry,))
        found += _of_claims(claims, other, expected.local_backends)
    for frontend in [each for each in actual.entries if each not in expected.entries]:
        entry = actual.entries[frontend]
        if not is_foreign(entry):
            found += _stale(entry)
    found += _closed_ports(expected, actual)
    return Differences(tuple(found), compared=len(expected.entries))


def _is_same(expected: Entry, actual: Entry, local: frozenset[Backend]) -> bool:
    """The fast path for the many entries without a difference."""
    for client, wanted in expected.handlings.items():
        found = actual.handlings.get(client)
        if (
            found is None
            or wanted.verdict is not found.verdict
            or wanted.backends != found.backends
            or wanted.shares != found.shares
            or wanted.affinity != found.affinity
            or wanted.masquerade is not found.masquerade
            or not allows_the_same(wanted, found)
            or found.scheduler
            or (client is Client.POD and any(backends_without_hairpin(found, local)))
        ):
            return False
    return True


def _of_claims(
    claims: tuple[Entry, ...], actual: Entry | None, local: frozenset[Backend]
) -> list[Difference]:
    """The differences of one frontend, which may agree with any of its claims.

    With several claims one kind of client may meet the first and another the second: connections
    that the rules of one Service do not match go on to those of the next.
    """
    first = claims[0]
    clients: dict[Deviation, list[Client]] = {}
    for client in first.handlings:
        by_claim = [deviations_of(client, claim, actual, local) for claim in claims]
        if not all(by_claim):
            continue
        # Hairpin connections do not depend on the claims.
        is_made_of_claims = _is_made_of_claims(client, claims, actual)
        for each in by_claim[0]:
            if each.kind is Kind.HAIRPIN or not is_made_of_claims:
                clients.setdefault(each, []).append(client)
    return [
        Difference(
            each.kind,
            first.frontend,
            first.owner,
            tuple(of),
            each.backend,
            each.expected,
            each.found,
            tuple(middle_cut(each.evidence, MOST_LINES)),
            each.third_party,
            each.by_mark,
        )
        for each, of in clients.items()
    ]


def _is_made_of_claims(client: Client, claims: tuple[Entry, ...], actual: Entry | None) -> bool:
    """Whether several claims together explain how one kind of client is handled."""
    found = actual.handlings.get(client) if actual and len(claims) > 1 else None
    wanted = [claim.handlings[client] for claim in claims if client in claim.handlings]

    def agrees(one: Handling, part: Handling) -> bool:
        # The owner of endpoints only affects the name of a deviation.
        return not any(deviations_in(one, part, claims[0]))

    return found is not None and is_made_of_claims(wanted, found, agrees)


def _stale(entry: Entry) -> Iterator[Difference]:
    """What Kubernetes' own rules do; third-party ones are not kube-proxy's to remove."""
    handled = {
        client: each
        for client, each in entry.handlings.items()
        if each.verdict is not Verdict.NOTHING and not each.third_party
    }
    if not handled:
        return
    first = next(iter(handled.values()))
    yield Difference(
        Kind.FRONTEND_STALE,
        entry.frontend,
        None,
        tuple(handled),
        None,
        "nothing: no Service has this frontend",
        verdict_of(first),
        tuple(middle_cut(first.lines, MOST_LINES)),
    )


def _closed_ports(expected: ServiceTable, actual: ServiceTable) -> Iterator[Difference]:
    for family, port in sorted(expected.health_check_ports - actual.health_check_ports):
        yield Difference(
            Kind.HEALTH_CHECK_PORT,
            Frontend(family, "", "tcp", port),
            None,
            (Client.OUTSIDE,),
            None,
            f"a rule that accepts health checks on port {port}",
            "none",
            (),
        )
