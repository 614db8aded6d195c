"""How one kind of client sees a frontend that differs from the expected one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.compare.differences import ACCEPTED_BEFORE, Kind
from wirecheck.dataplane.compare.tolerance import (
    allows_the_same,
    is_draining,
    is_left_to_others,
    is_lost_anyway,
    is_refused_anyway,
    stays_on_node,
    without_lost,
)
from wirecheck.dataplane.compare.wording import (
    affinity_of,
    listed,
    shares_of,
    sources_of,
    verdict_of,
)
from wirecheck.dataplane.table import (
    OF_TABLE,
    SAME_PRIORITY,
    Client,
    Entry,
    Handling,
    Masquerade,
    Verdict,
    text_of,
)
from wirecheck.text import middle_cut

MOST_LINES = 12
"""Rules shown with one difference: a Service may have a thousand backends."""

REFUSED = (Verdict.REJECT, Verdict.DROP)


@dataclass(frozen=True, slots=True)
class Deviation:
    """A difference as one kind of client sees it; equal ones of several kinds become one."""

    kind: Kind
    expected: str
    found: str
    backend: Backend | None = None
    evidence: tuple[str, ...] = ()
    third_party: bool = False
    by_mark: bool = False


def deviations_of(
    client: Client, expected: Entry, actual: Entry | None, local: frozenset[Backend]
) -> list[Deviation]:
    """The deviations for one kind of client, those of hairpin connections included."""
    wanted = expected.handlings.get(client)
    if wanted is None:
        return []
    is_missing = actual is None or not actual.is_handled
    found = (actual.handlings.get(client) if actual else None) or Handling(Verdict.NOTHING)
    deviations = list(deviations_in(wanted, found, expected))
    if is_missing and not found.third_party:
        deviations = [_as_missing(each) for each in deviations]
    if client is Client.POD:
        deviations += unmasqueraded_hairpins(found, local)
    return deviations


def deviations_in(wanted: Handling, found: Handling, entry: Entry) -> Iterator[Deviation]:
    """The deviations for one kind of client."""
    found = without_lost(wanted, found)
    if not_compared := _not_compared(wanted, found):
        kind, reason = not_compared
        yield Deviation(kind, verdict_of(wanted), reason, evidence=found.lines)
    elif wanted.verdict in REFUSED and any(each.verdict is Verdict.NOTHING for each in found.parts):
        accepted = next(each for each in found.parts if each.verdict is Verdict.NOTHING)
        if not is_lost_anyway(wanted, accepted):
            yield _verdict(wanted, accepted, ACCEPTED_BEFORE)
    elif found.verdict is Verdict.MIXED:
        yield _mixed(wanted, found)
    elif (stays_on_node(found) and not entry.frontend.is_node_port) or any(
        tolerated(wanted, found)
        for tolerated in (is_refused_anyway, is_lost_anyway, is_left_to_others)
    ):
        return
    elif wanted.verdict is not found.verdict:
        is_accepted = found.verdict is Verdict.NOTHING and found.third_party
        if is_accepted and wanted.verdict in REFUSED:
            yield _verdict(wanted, found, ACCEPTED_BEFORE)
        else:
            yield _verdict(wanted, found, verdict_of(found))
        yield from _extra_backends(wanted, found, entry)
    elif _is_taken(wanted, found):
        yield from _extra_backends(wanted, found, entry)
    elif not allows_the_same(wanted, found):
        # The last of the refusing rules decides, so it must not be in the middle that is cut.
        half = MOST_LINES // 2
        refusing = middle_cut(list(dict.fromkeys(map(text_of, found.refusing))), half)
        others = [line for line in found.lines if line not in refusing]
        yield Deviation(
            Kind.SOURCES,
            sources_of(wanted.allowed),
            sources_of(found.allowed),
            evidence=(*refusing, *middle_cut(others, MOST_LINES - len(refusing))),
            third_party=found.third_party,
        )
    elif wanted.verdict is Verdict.FORWARD:
        yield from _in_forwarding(wanted, found, entry)


def _mixed(wanted: Handling, found: Handling) -> Deviation:
    """What several sets of sources get; with the third-party rule that takes one of them away."""
    takes = (Verdict.NOTHING, Verdict.FORWARD)
    taken = (e for e in found.parts if e.third_party and e.evidence and e.verdict in takes)
    first = next(taken, None) if wanted.verdict is Verdict.FORWARD else None
    if first is None:
        return Deviation(Kind.SOURCES, verdict_of(wanted), found.reason, evidence=found.lines)
    words = f"{', '.join((first.allowed or ())[:8])}: {verdict_of(first)}"
    return Deviation(
        Kind.VERDICT, verdict_of(wanted), words, evidence=first.lines, third_party=True
    )


def _is_taken(wanted: Handling, found: Handling) -> bool:
    """Whether third-party rules forward limited sources elsewhere, past the Service's own limit."""
    is_elsewhere = found.third_party and set(found.backends).isdisjoint(wanted.backends)
    return is_elsewhere and not allows_the_same(wanted, found)


def _not_compared(wanted: Handling, found: Handling) -> tuple[Kind, str] | None:
    """Why the two cannot be compared; None if they can."""
    if Verdict.UNDECIDED in (wanted.verdict, found.verdict):
        return Kind.UNDECIDED, wanted.reason or found.reason
    if found.verdict is not Verdict.NOT_UNDERSTOOD:
        return None
    if found.reason == SAME_PRIORITY:
        return Kind.ORDER_UNKNOWN, found.reason
    is_of_table = any(line.startswith(OF_TABLE) for line in found.lines)
    kind = Kind.RULE_UNKNOWN if is_of_table or found.third_party else Kind.NOT_UNDERSTOOD
    return kind, f"unrecognised rules: {found.reason}"


def _as_missing(each: Deviation) -> Deviation:
    """No rule is for the frontend, so it is missing rather than handled otherwise."""
    return replace(each, kind=Kind.FRONTEND_MISSING) if each.kind is Kind.VERDICT else each


def _verdict(wanted: Handling, found: Handling, words: str) -> Deviation:
    return Deviation(
        Kind.VERDICT,
        verdict_of(wanted),
        words,
        evidence=found.lines,
        third_party=found.third_party,
        by_mark=found.by_mark,
    )


def _in_forwarding(wanted: Handling, found: Handling, entry: Entry) -> Iterator[Deviation]:
    shares = dict(zip(found.backends, found.shares, strict=True))
    missing = [each for each in wanted.backends if not shares.get(each)]
    for backend in missing:
        yield Deviation(
            Kind.BACKEND_MISSING,
            str(backend),
            listed(found.backends),
            backend,
            found.lines,
            found.of_others,
        )
    yield from _extra_backends(wanted, found, entry)
    weighted = {each: shares[each] for each in found.backends if each not in found.draining}
    even = dict(zip(wanted.backends, wanted.shares, strict=True))
    if not missing and weighted.keys() == even.keys() and weighted != even:
        yield Deviation(Kind.WEIGHTS, shares_of(wanted), shares_of(found), evidence=found.lines)
    if found.scheduler:
        configured = "the configured scheduler"
        actual = f"scheduler {found.scheduler}"
        yield Deviation(Kind.WEIGHTS, configured, actual, evidence=found.lines)
    if wanted.affinity != found.affinity:
        yield Deviation(
            Kind.AFFINITY, affinity_of(wanted), affinity_of(found), evidence=found.lines
        )
    is_known = wanted.masquerade is not Masquerade.UNKNOWN
    is_lost = found.masquerade is Masquerade.DROPPED
    if is_lost or (is_known and wanted.masquerade is not found.masquerade):
        yield Deviation(
            Kind.MASQUERADE,
            wanted.masquerade,
            found.masquerade,
            evidence=(*found.lines, *map(text_of, found.deciding)),
            third_party=bool(found.deciding),
        )


def _extra_backends(wanted: Handling, found: Handling, entry: Entry) -> Iterator[Deviation]:
    for backend in found.backends:
        if backend in wanted.backends or is_draining(found, backend):
            continue
        exists = backend in entry.known
        yield Deviation(
            Kind.BACKEND_WRONG if exists else Kind.BACKEND_STALE,
            listed(wanted.backends) if wanted.backends else verdict_of(wanted),
            f"{backend}, which is not a usable endpoint from this node"
            if exists
            else f"{backend}, which no EndpointSlice of the Service names",
            backend,
            found.lines_to(backend),
            found.third_party,
        )


def unmasqueraded_hairpins(found: Handling, local: frozenset[Backend]) -> Iterator[Deviation]:
    """Local backends whose connections to themselves are not masqueraded."""
    for backend in backends_without_hairpin(found, local):
        yield Deviation(
            Kind.HAIRPIN,
            f"connections of {backend.address} to itself masqueraded",
            "not masqueraded",
            backend,
            (*found.lines_to(backend), *map(text_of, found.deciding)),
            bool(found.deciding),
        )


def backends_without_hairpin(found: Handling, local: frozenset[Backend]) -> Iterator[Backend]:
    """Those local backends, without the text of any rule."""
    if found.verdict is not Verdict.FORWARD or found.masquerade is Masquerade.ALWAYS:
        return
    for backend in found.backends:
        if backend in local and backend not in found.hairpin:
            yield backend
