"""The differences between the expected and the read table, which checks turn into findings.

differences = compare(expected, actual)
for each in differences.of(Kind.BACKEND_STALE):
    yield Finding(..., expected=each.expected, found=each.found, evidence=each.evidence)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from wirecheck.api_index.backend import Backend, ServicePort
from wirecheck.dataplane.compare.claims import is_made_of_claims
from wirecheck.dataplane.compare.tolerance import (
    allows_the_same,
    is_draining,
    is_foreign,
    is_left_to_others,
    is_lost_anyway,
    is_refused_anyway,
    stays_on_node,
)
from wirecheck.dataplane.compare.wording import (
    affinity_of,
    listed,
    shares_of,
    sources_of,
    verdict_of,
)
from wirecheck.dataplane.table import (
    SAME_PRIORITY,
    Client,
    Entry,
    Frontend,
    Handling,
    Masquerade,
    ServiceTable,
    Verdict,
    text_of,
)

MOST_LINES = 12
"""Rules shown with one difference: a Service may have a thousand backends."""

REFUSED = (Verdict.REJECT, Verdict.DROP)
ACCEPTED_BEFORE = "accepted by an earlier rule: clients wait for an answer until they time out"


class Kind(StrEnum):
    """How a node differs from the API."""

    FRONTEND_MISSING = "frontend missing"
    """Nothing is programmed for at least one kind of client."""
    FRONTEND_STALE = "frontend stale"
    """kube-proxy's rules handle a frontend that no Service has."""
    BACKEND_MISSING = "backend missing"
    BACKEND_STALE = "backend stale"
    """Connections go to an address that no EndpointSlice of the Service names."""
    BACKEND_WRONG = "backend wrong"
    """Connections go to an endpoint that is not ready, or excluded by a traffic policy."""
    WEIGHTS = "weights skewed"
    VERDICT = "verdict wrong"
    SHADOWED = "frontend shadowed"
    """Third-party rules take its connections before kube-proxy's (assigned by `summary.py`)."""
    AFFINITY = "affinity wrong"
    SOURCES = "allowed sources wrong"
    MASQUERADE = "masquerading wrong"
    HAIRPIN = "hairpin connections not masqueraded"
    """A pod cannot reach itself through its Service."""
    HEALTH_CHECK_PORT = "health check port not opened"
    ORDER_UNKNOWN = "order of chains unknown"
    """A third-party rule may or may not take its connections: this frontend is inconclusive."""
    NOT_UNDERSTOOD = "unrecognised rules"
    """Not a fault of the node: this frontend is inconclusive."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One deviation of one frontend, or of one of its backends."""

    kind: Kind
    frontend: Frontend
    owner: ServicePort | None
    """None if no Service has this frontend."""
    clients: tuple[Client, ...]
    """The clients whose connections differ."""
    backend: Backend | None
    expected: str
    found: str
    evidence: tuple[str, ...]
    """The rules, as they are on the node."""
    third_party: bool = False
    """Whether a rule decides that neither kube-proxy nor the kubelet writes."""
    by_mark: bool = False
    """Whether a rule accepts the packets that another one has marked: network policy."""


@dataclass(frozen=True, slots=True)
class Differences:
    """All differences of one node by frontend; `compared` is the number of frontends."""

    items: tuple[Difference, ...]
    compared: int

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def of(self, *kinds: Kind) -> tuple[Difference, ...]:
        """Those of the given kinds."""
        return tuple(each for each in self.items if each.kind in kinds)


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
        if found is not None and any(_hairpins(found, frozenset(found.backends))):
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
        if not is_foreign(actual.entries[frontend]):
            found.append(_stale(actual.entries[frontend]))
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
            or (client is Client.POD and any(_hairpins(found, local)))
        ):
            return False
    return True


@dataclass(frozen=True, slots=True)
class _Deviation:
    """A difference as one kind of client sees it; equal ones of several kinds become one."""

    kind: Kind
    expected: str
    found: str
    backend: Backend | None = None
    evidence: tuple[str, ...] = ()
    third_party: bool = False
    by_mark: bool = False


def _of_claims(
    claims: tuple[Entry, ...], actual: Entry | None, local: frozenset[Backend]
) -> list[Difference]:
    """The differences of one frontend, which may agree with any of its claims.

    With several claims one kind of client may meet the first and another the second: connections
    that the rules of one Service do not match go on to those of the next.
    """
    first = claims[0]
    clients: dict[_Deviation, list[Client]] = {}
    for client in first.handlings:
        by_claim = [_of_client(client, claim, actual, local) for claim in claims]
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
            each.evidence[:MOST_LINES],
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
        return not any(_deviations(one, part, claims[0], is_missing=False))

    return found is not None and is_made_of_claims(wanted, found, agrees)


def _of_client(
    client: Client, expected: Entry, actual: Entry | None, local: frozenset[Backend]
) -> list[_Deviation]:
    wanted = expected.handlings.get(client)
    if wanted is None:
        return []
    is_missing = actual is None or not actual.is_handled
    found = (actual.handlings.get(client) if actual else None) or Handling(Verdict.NOTHING)
    deviations = list(_deviations(wanted, found, expected, is_missing))
    if client is Client.POD:
        deviations += _hairpins(found, local)
    return deviations


def _deviations(
    wanted: Handling, found: Handling, entry: Entry, is_missing: bool
) -> Iterator[_Deviation]:
    """The deviations for one kind of client."""
    if found.verdict is Verdict.NOT_UNDERSTOOD:
        is_order = found.reason == SAME_PRIORITY
        kind = Kind.ORDER_UNKNOWN if is_order else Kind.NOT_UNDERSTOOD
        reason = found.reason if is_order else f"unrecognised rules: {found.reason}"
        yield _Deviation(kind, verdict_of(wanted), reason, evidence=found.lines)
    elif wanted.verdict in REFUSED and any(each.verdict is Verdict.NOTHING for each in found.parts):
        accepted = next(each for each in found.parts if each.verdict is Verdict.NOTHING)
        if not is_lost_anyway(wanted, accepted):
            yield _verdict(wanted, accepted, ACCEPTED_BEFORE)
    elif found.verdict is Verdict.MIXED:
        yield _Deviation(Kind.SOURCES, verdict_of(wanted), found.reason, evidence=found.lines)
    elif stays_on_node(found) or any(
        tolerated(wanted, found)
        for tolerated in (is_refused_anyway, is_lost_anyway, is_left_to_others)
    ):
        return
    elif wanted.verdict is not found.verdict:
        is_accepted = found.verdict is Verdict.NOTHING and found.third_party
        if is_accepted and wanted.verdict in REFUSED:
            yield _verdict(wanted, found, ACCEPTED_BEFORE)
        else:
            is_missing = is_missing and not is_accepted
            kind = Kind.FRONTEND_MISSING if is_missing else Kind.VERDICT
            yield replace(_verdict(wanted, found, verdict_of(found)), kind=kind)
        yield from _extra_backends(wanted, found, entry)
    elif not allows_the_same(wanted, found):
        refusing = map(text_of, found.refusing)
        yield _Deviation(
            Kind.SOURCES,
            sources_of(wanted.allowed),
            sources_of(found.allowed),
            evidence=tuple(dict.fromkeys([*refusing, *found.lines])),
            third_party=found.third_party,
        )
    elif wanted.verdict is Verdict.FORWARD:
        yield from _in_forwarding(wanted, found, entry)


def _verdict(wanted: Handling, found: Handling, words: str) -> _Deviation:
    return _Deviation(
        Kind.VERDICT,
        verdict_of(wanted),
        words,
        evidence=found.lines,
        third_party=found.third_party,
        by_mark=found.by_mark,
    )


def _in_forwarding(wanted: Handling, found: Handling, entry: Entry) -> Iterator[_Deviation]:
    shares = dict(zip(found.backends, found.shares, strict=True))
    missing = [each for each in wanted.backends if not shares.get(each)]
    for backend in missing:
        yield _Deviation(
            Kind.BACKEND_MISSING, str(backend), listed(found.backends), backend, found.lines
        )
    yield from _extra_backends(wanted, found, entry)
    weighted = {each: shares[each] for each in found.backends if each not in found.draining}
    even = dict(zip(wanted.backends, wanted.shares, strict=True))
    if not missing and weighted.keys() == even.keys() and weighted != even:
        yield _Deviation(Kind.WEIGHTS, shares_of(wanted), shares_of(found), evidence=found.lines)
    if found.scheduler:
        configured = "the configured scheduler"
        actual = f"scheduler {found.scheduler}"
        yield _Deviation(Kind.WEIGHTS, configured, actual, evidence=found.lines)
    if wanted.affinity != found.affinity:
        yield _Deviation(
            Kind.AFFINITY, affinity_of(wanted), affinity_of(found), evidence=found.lines
        )
    is_known = wanted.masquerade is not Masquerade.UNKNOWN
    is_lost = found.masquerade is Masquerade.DROPPED
    if is_lost or (is_known and wanted.masquerade is not found.masquerade):
        yield _Deviation(Kind.MASQUERADE, wanted.masquerade, found.masquerade, evidence=found.lines)


def _extra_backends(wanted: Handling, found: Handling, entry: Entry) -> Iterator[_Deviation]:
    for backend in found.backends:
        if backend in wanted.backends or is_draining(found, backend):
            continue
        exists = backend in entry.known
        yield _Deviation(
            Kind.BACKEND_WRONG if exists else Kind.BACKEND_STALE,
            listed(wanted.backends) if wanted.backends else verdict_of(wanted),
            f"{backend}, which is not a usable endpoint from this node"
            if exists
            else f"{backend}, which no EndpointSlice of the Service names",
            backend,
            found.lines_to(backend),
            found.third_party,
        )


def _hairpins(found: Handling, local: frozenset[Backend]) -> Iterator[_Deviation]:
    """Local backends whose connections to themselves are not masqueraded."""
    if found.verdict is not Verdict.FORWARD or found.masquerade is Masquerade.ALWAYS:
        return
    for backend in found.backends:
        if backend in local and backend not in found.hairpin:
            yield _Deviation(
                Kind.HAIRPIN,
                f"connections of {backend.address} to itself masqueraded",
                "not masqueraded",
                backend,
                found.lines_to(backend),
            )


def _stale(entry: Entry) -> Difference:
    handled = {
        client: each
        for client, each in entry.handlings.items()
        if each.verdict is not Verdict.NOTHING
    }
    first = next(iter(handled.values()))
    return Difference(
        Kind.FRONTEND_STALE,
        entry.frontend,
        None,
        tuple(handled),
        None,
        "nothing: no Service has this frontend",
        verdict_of(first),
        first.lines[:MOST_LINES],
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
