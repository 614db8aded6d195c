"""Summarises differences: many with one cause become one.

If a hook is missing, or a third-party rule precedes kube-proxy's, every frontend differs. That is
one finding, not one for each Service.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from wirecheck.dataplane.compare.differences import (
    ACCEPTED_BEFORE,
    RULES_UNKNOWN,
    Difference,
    Differences,
    Kind,
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

LEAST_SERVICES = 2
"""With a single Service the fault is that Service's."""
UNKNOWN = RULES_UNKNOWN | {Kind.UNDECIDED}
"""Differences that say only that nothing is known."""


@dataclass(frozen=True, slots=True)
class Common:
    """A difference that all frontends of some protocols of one family have."""

    kind: Kind
    wanted: Verdict
    clients: tuple[Client, ...]
    frontends: frozenset[Frontend]
    services: int
    """The number of Services that these belong to."""
    found: str
    evidence: tuple[str, ...]
    """The rules of one frontend as an example."""
    third_party: bool = False
    """Whether a rule decides that neither kube-proxy nor the kubelet writes."""

    @property
    def family(self) -> int:
        """4 or 6."""
        return next(each.family for each in self.frontends)

    @property
    def where(self) -> str:
        """`IPv4 tcp, udp`, `IPv4 tcp node ports`."""
        protocols = ", ".join(sorted({each.protocol for each in self.frontends}))
        ports = " node ports" if all(each.is_node_port for each in self.frontends) else ""
        return f"IPv{self.family} {protocols}{ports}"

    @property
    def extent(self) -> str:
        """`all 27 frontends of 19 Services`."""
        return f"all {len(self.frontends):,} frontends of {self.services:,} Services"


@dataclass(frozen=True, slots=True)
class Summary:
    """All differences of a node: common ones, and the remaining single ones."""

    common: tuple[Common, ...]
    single: tuple[Difference, ...]
    compared: int
    decided: int = 0
    """The frontends among them of which it is known what happens to some clients."""

    def of(self, *kinds: Kind) -> tuple[Difference, ...]:
        """The single ones of the given kinds."""
        return tuple(each for each in self.single if each.kind in kinds)

    def shared(self, *kinds: Kind) -> tuple[Common, ...]:
        """The common ones of the given kinds."""
        return tuple(each for each in self.common if each.kind in kinds)


def summarised(expected: ServiceTable, differences: Differences) -> Summary:
    """Combine differences with one cause, without losing any."""
    each_once = _without_repeats(expected, differences)
    left = list(_with_shadows(_outside_ranges(map(_as_missing, each_once))))
    common: list[Common] = []
    for cause in _CAUSES:
        concerned = [each for each in left if _may_be_common(each, cause)]
        shared = list(_shared(expected, cause, concerned)) if concerned else []
        common += shared
        left = [rest for each in left for rest in _without(each, cause, shared)]
    decided = differences.compared - _unknown(expected, differences)
    return Summary(tuple(common), tuple(left), differences.compared, decided)


def _unknown(expected: ServiceTable, differences: Iterable[Difference]) -> int:
    """The number of frontends of which nothing is known, whoever connects to them."""
    found: dict[Frontend, set[Client]] = defaultdict(set)
    for each in differences:
        if each.kind in UNKNOWN:
            found[each.frontend].update(each.clients)
    wanted = expected.entries
    return sum(of >= wanted[each].handlings.keys() for each, of in found.items() if each in wanted)


def _without_repeats(
    expected: ServiceTable, differences: Iterable[Difference]
) -> Iterator[Difference]:
    """A node port that differs in the same way at several addresses of the node counts once."""
    at_first = {
        (each.frontend, each.kind, each.backend, client)
        for each in differences
        if each.frontend.is_node_port
        for client in each.clients
    }
    for each in differences:
        first = each.frontend._replace(address="")
        is_repeat = is_further(expected, each.frontend) and all(
            (first, each.kind, each.backend, client) in at_first for client in each.clients
        )
        if not is_repeat:
            yield each


def is_further(table: ServiceTable, frontend: Frontend) -> bool:
    """Whether it is a node port at another than the node's first address."""
    entry = table.entries.get(frontend)
    at_first = table.entries.get(frontend._replace(address=""))
    is_same = entry is not None and at_first is not None and entry.owner == at_first.owner
    return is_same and not frontend.is_node_port


def _as_missing(each: Difference) -> Difference:
    """A frontend that no rule handles for some clients is missing for these."""
    is_missing = each.kind is Kind.VERDICT and each.found == Verdict.NOTHING
    return replace(each, kind=Kind.FRONTEND_MISSING) if is_missing else each


def _outside_ranges(differences: Iterable[Difference]) -> Iterator[Difference]:
    """Where source ranges are not enforced, pods outside of them are not dropped either.

    The frontend is not missing: clients within the ranges are forwarded.
    """
    differences = list(differences)
    opened = {each.frontend for each in differences if each.kind is Kind.SOURCES}
    for each in differences:
        refused = (each.expected, each.found) == (Verdict.DROP, Verdict.NOTHING)
        is_open = refused and each.kind is Kind.FRONTEND_MISSING and each.frontend in opened
        yield replace(each, kind=Kind.SOURCES) if is_open else each


def _with_shadows(differences: Iterable[Difference]) -> Iterator[Difference]:
    """A third-party rule that takes a frontend's connections explains its other differences."""
    by_frontend: dict[Frontend, list[Difference]] = defaultdict(list)
    for each in differences:
        by_frontend[each.frontend].append(each)
    for group in by_frontend.values():
        shadows = {
            client: each for each in group if _is_third_party(each) for client in each.clients
        }
        for first in {id(each): each for each in shadows.values()}.values():
            clients = tuple(client for client, each in shadows.items() if each is first)
            yield replace(first, kind=Kind.SHADOWED, backend=None, clients=clients)
        for each in group:
            if left := tuple(client for client in each.clients if client not in shadows):
                yield replace(each, clients=left)


def _is_third_party(each: Difference) -> bool:
    """Whether its rules are neither kube-proxy's nor the kubelet's."""
    takes = {Kind.VERDICT, Kind.BACKEND_STALE, Kind.BACKEND_WRONG, Kind.BACKEND_MISSING}
    if each.found == ACCEPTED_BEFORE or each.found.startswith(Verdict.UNTRACKED):
        return False  # It does not send them elsewhere.
    return each.kind in takes and bool(each.evidence) and each.third_party


Whole = tuple[int, Client, Verdict]
"""Family, client and expected verdict: frontends that may all differ in one way."""

Part = tuple[str, bool]
"""Protocol, and whether they are node ports, which have rules in other chains."""


@dataclass(frozen=True, slots=True)
class _Cause:
    """A difference that all frontends may have."""

    kind: Kind
    symptoms: frozenset[Kind]
    applies: Callable[[Handling], bool]
    """Whether a frontend with this expected handling would show it."""


_CAUSES = (
    # If nat is not reached, table filter still drops connections of refused sources.
    _Cause(
        Kind.FRONTEND_MISSING,
        frozenset({Kind.FRONTEND_MISSING, Kind.VERDICT}),
        lambda wanted: wanted.verdict is not Verdict.NOTHING,
    ),
    _Cause(
        Kind.MASQUERADE,
        frozenset({Kind.MASQUERADE}),
        lambda wanted: wanted.verdict is Verdict.FORWARD and wanted.masquerade is Masquerade.ALWAYS,
    ),
)


def _groups(
    table: ServiceTable, applies: Callable[[Handling], bool]
) -> Mapping[Whole, Mapping[Part, frozenset[Frontend]]]:
    """The frontends that may differ together, in parts that may differ alone."""
    found: dict[Whole, dict[Part, set[Frontend]]] = defaultdict(lambda: defaultdict(set))
    for frontend, entry in table.entries.items():
        if frontend in table.contested or is_further(table, frontend):
            continue
        for client, wanted in entry.handlings.items():
            if applies(wanted):
                whole = (frontend.family, client, wanted.verdict)
                found[whole][frontend.protocol, frontend.is_node_port].add(frontend)
    return {
        whole: {part: frozenset(each) for part, each in of.items()} for whole, of in found.items()
    }


def _shared(table: ServiceTable, cause: _Cause, concerned: list[Difference]) -> Iterator[Common]:
    """The differences of all frontends of some parts; equal ones of several clients are one."""
    differing = {(each.frontend, client) for each in concerned for client in each.clients}
    alike: dict[tuple[frozenset[Frontend], Verdict], list[Client]] = defaultdict(list)
    for (_, client, wanted), parts in _groups(table, cause.applies).items():
        whole = [
            members
            for members in parts.values()
            if all((frontend, client) in differing for frontend in members)
        ]
        alike[frozenset().union(*whole), wanted].append(client)
    for (frontends, wanted), clients in alike.items():
        services = {_service(table.entries[each]) for each in frontends}
        if len(services) >= LEAST_SERVICES:
            examples = [each for each in concerned if each.frontend in frontends]
            ((found, _),) = Counter(each.found for each in examples).most_common(1)
            example = next(each for each in examples if each.found == found)
            order = tuple(each for each in Client if each in clients)
            yield Common(
                cause.kind,
                wanted,
                order,
                frontends,
                len(services),
                found,
                example.evidence,
                example.third_party,
            )


def _may_be_common(each: Difference, cause: _Cause) -> bool:
    """Whether it can have a cause that other frontends share.

    What is forwarded to backends has met the rules of its own Service: these are out of date.
    """
    is_forwarded = each.kind is Kind.VERDICT and each.found.startswith(Verdict.FORWARD)
    return each.kind in cause.symptoms and not each.by_mark and not is_forwarded


def _service(entry: Entry) -> str:
    return f"{entry.owner.namespace}/{entry.owner.service}" if entry.owner else ""


def _without(each: Difference, cause: _Cause, shared: Iterable[Common]) -> Iterator[Difference]:
    """The difference for the clients that no common one covers."""
    if not _may_be_common(each, cause):
        yield each
        return
    covered = {client for of in shared if each.frontend in of.frontends for client in of.clients}
    if left := tuple(client for client in each.clients if client not in covered):
        yield replace(each, clients=left)
