"""Differences as an operator would tell them: many with one cause become one.

Where a hook is missing, or a rule of others comes before kube-proxy's, every frontend
differs. That is one finding, and not one for each Service.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from wirecheck.dataplane.compare.differences import Difference, Differences, Kind
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
"""One Service alone is a fault of that Service."""

_KUBE_PROXYS = re.compile(r"\bKUBE-|kube-proxy|^chain |^(?:TCP|UDP|SCTP) ")
"""Rules of its chains, of its nftables tables, and virtual servers."""


@dataclass(frozen=True, slots=True)
class Common:
    """What all frontends of some protocols of one family have in common: each differs in it."""

    kind: Kind
    wanted: Verdict
    clients: tuple[Client, ...]
    frontends: frozenset[Frontend]
    services: int
    """How many Services these belong to."""
    found: str
    evidence: tuple[str, ...]
    """The rules in question, of one frontend as an example."""

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
    """All differences of a node: the common ones, and what is left of the single ones."""

    common: tuple[Common, ...]
    single: tuple[Difference, ...]
    compared: int

    def of(self, *kinds: Kind) -> tuple[Difference, ...]:
        """The single ones of the given kinds."""
        return tuple(each for each in self.single if each.kind in kinds)

    def shared(self, *kinds: Kind) -> tuple[Common, ...]:
        """The common ones of the given kinds."""
        return tuple(each for each in self.common if each.kind in kinds)


def summarised(expected: ServiceTable, differences: Differences) -> Summary:
    """Fold what has one cause; nothing of it is lost."""
    left = list(_with_shadows(map(_as_missing, _without_repeats(expected, differences))))
    common: list[Common] = []
    for cause in _CAUSES:
        concerned = [each for each in left if each.kind in cause.symptoms]
        shared = list(_shared(expected, cause, concerned)) if concerned else []
        common += shared
        left = [rest for each in left for rest in _without(each, cause, shared)]
    return Summary(tuple(common), tuple(left), differences.compared)


def _without_repeats(
    expected: ServiceTable, differences: Iterable[Difference]
) -> Iterator[Difference]:
    """What differs at a further address of the node as it does at the first is told once."""
    told = {
        (each.frontend, each.kind, each.backend, client)
        for each in differences
        if each.frontend.is_node_port
        for client in each.clients
    }
    for each in differences:
        first = each.frontend._replace(address="")
        is_repeat = is_further(expected, each.frontend) and all(
            (first, each.kind, each.backend, client) in told for client in each.clients
        )
        if not is_repeat:
            yield each


def is_further(table: ServiceTable, frontend: Frontend) -> bool:
    """Whether it is a node port at another address of the node than the first."""
    entry = table.entries.get(frontend)
    at_first = table.entries.get(frontend._replace(address=""))
    is_same = entry is not None and at_first is not None and entry.owner == at_first.owner
    return is_same and not frontend.is_node_port


def _as_missing(each: Difference) -> Difference:
    """Connections of some clients that no rule handles: missing, for these."""
    is_missing = each.kind is Kind.VERDICT and each.found == Verdict.NOTHING
    return replace(each, kind=Kind.FRONTEND_MISSING) if is_missing else each


def _with_shadows(differences: Iterable[Difference]) -> Iterator[Difference]:
    """A rule of others that takes a frontend's connections explains all else about them."""
    by_frontend: dict[Frontend, list[Difference]] = defaultdict(list)
    for each in differences:
        by_frontend[each.frontend].append(each)
    for group in by_frontend.values():
        shadows = {client: each for each in group if _is_of_others(each) for client in each.clients}
        for first in {id(each): each for each in shadows.values()}.values():
            clients = tuple(client for client, each in shadows.items() if each is first)
            yield replace(first, kind=Kind.SHADOWED, backend=None, clients=clients)
        for each in group:
            if left := tuple(client for client in each.clients if client not in shadows):
                yield replace(each, clients=left)


def _is_of_others(each: Difference) -> bool:
    """Whether it rests on rules that are neither kube-proxy's nor the kubelet's."""
    takes = {Kind.VERDICT, Kind.BACKEND_STALE, Kind.BACKEND_WRONG}
    return (
        each.kind in takes
        and bool(each.evidence)
        and not any(map(_KUBE_PROXYS.search, each.evidence))
    )


Whole = tuple[int, Client, Verdict]
"""Family, client and what is wanted for it: frontends of which all may differ in one way."""

Part = tuple[str, bool]
"""Protocol, and whether they are node ports: the rules for those hang elsewhere."""


@dataclass(frozen=True, slots=True)
class _Cause:
    """What all frontends can have in common."""

    kind: Kind
    symptoms: frozenset[Kind]
    applies: Callable[[Handling], bool]
    """Whether it would show for a frontend of which this is wanted."""


_CAUSES = (
    # Where nat is not reached, what is refused to some sources is still dropped, by filter.
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
    """The frontends that could differ together, in the parts that could do so alone."""
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
    """What holds for all frontends of some parts; alike for several clients is told once."""
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
                cause.kind, wanted, order, frontends, len(services), found, example.evidence
            )


def _service(entry: Entry) -> str:
    return f"{entry.owner.namespace}/{entry.owner.service}" if entry.owner else ""


def _without(each: Difference, cause: _Cause, shared: Iterable[Common]) -> Iterator[Difference]:
    """The difference for those of its clients that no common one covers."""
    if each.kind not in cause.symptoms:
        yield each
        return
    covered = {client for of in shared if each.frontend in of.frontends for client in of.clients}
    if left := tuple(client for client in each.clients if client not in covered):
        yield replace(each, clients=left)
