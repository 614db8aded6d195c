"""Expected against read: the differences, as data that checks turn into findings.

differences = compare(expected, actual)
for each in differences.of(Kind.BACKEND_STALE):
    yield Finding(..., expected=each.expected, found=each.found, evidence=each.evidence)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from wirecheck.api_index.backend import Backend, ServicePort
from wirecheck.dataplane.compare.claims import is_patchwork
from wirecheck.dataplane.compare.tolerance import (
    is_draining,
    is_foreign,
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
    Client,
    Entry,
    Frontend,
    Handling,
    Masquerade,
    ServiceTable,
    Verdict,
)

MOST_LINES = 12
"""Rules shown with one difference: a Service may have a thousand backends."""


class Kind(StrEnum):
    """In what a node differs from what the API asks for."""

    FRONTEND_MISSING = "frontend missing"
    """Nothing is programmed for it, for one kind of client at least."""
    FRONTEND_STALE = "frontend stale"
    """kube-proxy's rules handle what no Service asks for."""
    BACKEND_MISSING = "backend missing"
    BACKEND_STALE = "backend stale"
    """Connections go to what no EndpointSlice of the Service names."""
    BACKEND_WRONG = "backend wrong"
    """Connections go to an endpoint that is not to be used: not ready, or ruled out by policy."""
    WEIGHTS = "weights skewed"
    VERDICT = "verdict wrong"
    SHADOWED = "frontend shadowed"
    """Rules of others take its connections before kube-proxy's (named so by `summary.py`)."""
    AFFINITY = "affinity wrong"
    SOURCES = "allowed sources wrong"
    MASQUERADE = "masquerading wrong"
    HAIRPIN = "hairpin connections not masqueraded"
    """A pod cannot reach itself through its Service."""
    HEALTH_CHECK_PORT = "health check port not opened"
    NOT_UNDERSTOOD = "rules not understood"
    """Not a fault of the node: nothing can be said about this frontend."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One deviation of one frontend, or of one of its backends."""

    kind: Kind
    frontend: Frontend
    owner: ServicePort | None
    """None where no Service of the API has this frontend."""
    clients: tuple[Client, ...]
    """Whose connections it concerns."""
    backend: Backend | None
    expected: str
    found: str
    evidence: tuple[str, ...]
    """The rules in question, as they are on the node."""


@dataclass(frozen=True, slots=True)
class Differences:
    """All differences of one node, by frontend; `compared` is how many frontends were."""

    items: tuple[Difference, ...]
    compared: int

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def of(self, *kinds: Kind) -> tuple[Difference, ...]:
        """Those of the given kinds."""
        return tuple(each for each in self.items if each.kind in kinds)


def compare(expected: ServiceTable, actual: ServiceTable) -> Differences:
    """Every difference between two tables of one node.

    `actual` must have been read with `also=expected.entries`: a frontend that it lacks
    counts as not programmed.
    """
    found: list[Difference] = []
    for frontend, entry in expected.entries.items():
        other = actual.entries.get(frontend)
        known = _same.get(frontend)
        if known is not None and known[0] is entry and known[1] is other:
            continue
        if other is not None and _is_same(entry, other, expected.local_backends):
            _remember_as_same(entry, other)
            continue
        claims = expected.contested.get(frontend) or expected.ambiguous.get(frontend, (entry,))
        found += _of_claims(claims, other, expected.local_backends)
    for frontend in [each for each in actual.entries if each not in expected.entries]:
        if not is_foreign(actual.entries[frontend]):
            found.append(_stale(actual.entries[frontend]))
    found += _closed_ports(expected, actual)
    return Differences(tuple(found), compared=len(expected.entries))


MOST_KNOWN = 100_000

_same: dict[Frontend, tuple[Entry, Entry]] = {}
"""Both sides of frontends that were found to be the same; on most nodes they are these again."""


def _remember_as_same(expected: Entry, actual: Entry) -> None:
    """Keep the pair, if it is the same on every node, whichever backends are local there."""
    found = actual.handlings.get(Client.POD)
    if found is not None and any(_hairpins(found, frozenset(found.backends))):
        return
    if len(_same) >= MOST_KNOWN:
        _same.clear()
    _same[expected.frontend] = expected, actual


def _is_same(expected: Entry, actual: Entry, local: frozenset[Backend]) -> bool:
    """The quick way for the many entries without any difference."""
    for client, wanted in expected.handlings.items():
        found = actual.handlings.get(client)
        if (
            found is None
            or wanted.verdict is not found.verdict
            or wanted.backends != found.backends
            or wanted.shares != found.shares
            or wanted.affinity != found.affinity
            or wanted.masquerade is not found.masquerade
            or wanted.allowed != found.allowed
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


def _of_claims(
    claims: tuple[Entry, ...], actual: Entry | None, local: frozenset[Backend]
) -> list[Difference]:
    """The differences of one frontend, which may be as any of its claims asks.

    Of several claims one kind of client may meet the first and another the second: what the
    rules of one Service do not take, the next one's do.
    """
    first = claims[0]
    clients: dict[_Deviation, list[Client]] = {}
    for client in first.handlings:
        by_claim = [_of_client(client, claim, actual, local) for claim in claims]
        if not all(by_claim):
            continue
        # Which backends connections to themselves are masqueraded of is no Service's to ask.
        is_patchwork = _is_patchwork(client, claims, actual)
        for each in by_claim[0]:
            if each.kind is Kind.HAIRPIN or not is_patchwork:
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
        )
        for each, of in clients.items()
    ]


def _is_patchwork(client: Client, claims: tuple[Entry, ...], actual: Entry | None) -> bool:
    """Whether several claims together make what one kind of client meets."""
    found = actual.handlings.get(client) if actual and len(claims) > 1 else None
    wanted = [claim.handlings[client] for claim in claims if client in claim.handlings]

    def agrees(one: Handling, part: Handling) -> bool:
        # Whose the endpoints are has a say in what a deviation is called only.
        return not any(_deviations(one, part, claims[0], is_missing=False))

    return found is not None and is_patchwork(wanted, found, agrees)


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
    """What differs for one kind of client."""
    if found.verdict is Verdict.NOT_UNDERSTOOD:
        reason = f"rules that are not understood: {found.reason}"
        yield _Deviation(Kind.NOT_UNDERSTOOD, verdict_of(wanted), reason, evidence=found.lines)
    elif found.verdict is Verdict.MIXED:
        yield _Deviation(Kind.SOURCES, verdict_of(wanted), found.reason, evidence=found.lines)
    elif stays_on_node(found) or is_refused_anyway(wanted, found):
        return
    elif wanted.verdict is not found.verdict:
        kind = Kind.FRONTEND_MISSING if is_missing else Kind.VERDICT
        yield _Deviation(kind, verdict_of(wanted), verdict_of(found), evidence=found.lines)
        yield from _extra_backends(wanted, found, entry)
    elif wanted.allowed != found.allowed:
        yield _Deviation(
            Kind.SOURCES,
            sources_of(wanted.allowed),
            sources_of(found.allowed),
            evidence=found.lines,
        )
    elif wanted.verdict is Verdict.FORWARD:
        yield from _in_forwarding(wanted, found, entry)


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
        told = "the scheduler that kube-proxy was told to use"
        yield _Deviation(Kind.WEIGHTS, told, f"scheduler {found.scheduler}", evidence=found.lines)
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
            f"{backend}, which is an endpoint that is not to be used from here"
            if exists
            else f"{backend}, which no EndpointSlice of the Service names",
            backend,
            found.lines_to(backend),
        )


def _hairpins(found: Handling, local: frozenset[Backend]) -> Iterator[_Deviation]:
    """Local backends whose connections to themselves come back with their own address."""
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
        "nothing: no Service of the API has it",
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
