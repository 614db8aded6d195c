"""From the engine's results to the `Handling` of each kind of client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import structs

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.rules.flows import Result, is_refused
from wirecheck.dataplane.rules.kinds_of_clients import RuleWith, of_kind
from wirecheck.dataplane.rules.masquerading import ByMark, Exemptions, RuleFor
from wirecheck.dataplane.rules.senders import Senders, left_alone
from wirecheck.dataplane.rules.sources import Region, Regions
from wirecheck.dataplane.table import Client, Handling, Masquerade, RuleText, Verdict

EVEN = 1e-4
"""Shares nearer than this part to 1/n are even: probabilities are kept in units of 2^-31."""

TOO_MANY = "its rules distinguish too many kinds of clients"
MOST_EVIDENCE = 8


class Masquerading(NamedTuple):
    """The effect of the rules after routing on forwarded connections."""

    by_mark: ByMark
    """Whether a packet with this mark is masqueraded; None where it is dropped."""
    own: frozenset[tuple[Backend, str]] = frozenset()
    """Backends whose connections to themselves, by protocol, are, whatever their mark."""
    rule_for: RuleFor = lambda _: None
    exemptions: Exemptions | None = None


class Sent(NamedTuple):
    """The results for the clients on one path; ignore other clients in them."""

    clients: int
    results: Sequence[Result]


def handlings_of(
    sent: Sequence[Sent],
    regions: Regions,
    masquerading: Masquerading,
    protocol: str,
    has_policies: bool = True,
    *,
    rule_with: RuleWith = lambda _: None,
) -> dict[Client, Handling]:
    """One handling for each kind of client that `regions` knows.

    `has_policies` says that others have rules there, too: what these refuse under conditions
    of their own is their policy, and left out. So are the clients outside the cluster that
    third-party rules refuse by their address. `rule_with` returns the third-party rule that has a
    condition, which is the one to look for where it is not known whether clients match.
    """
    cluster = regions.clients.cluster.get(regions.family, ())
    made: dict[tuple[int, ...], Handling] = {}
    by_client: dict[Client, list[tuple[Region, Handling]]] = {}
    for bit, region in enumerate(regions.regions):
        own = results_of(sent, bit)
        senders = _senders(region, regions, masquerading, protocol)
        key = (*map(id, own), -bit if senders else 0)
        if key not in made:
            made[key] = _handling(own, masquerading, protocol, senders)
        by_client.setdefault(region.client, []).append((region, made[key]))
    return {
        client: of_kind(
            parts,
            regions.family,
            has_policies,
            cluster if client is Client.OUTSIDE else None,
            rule_with,
        )
        for client, parts in by_client.items()
    }


def results_of(sent: Sequence[Sent], bit: int) -> list[Result]:
    """The results for the clients of one region."""
    ways = (results for clients, results in sent if clients >> bit & 1)
    return [each for results in ways for each in results if each.flow.sources >> bit & 1]


def handlings_of_ways(
    sent: Sequence[Sent], regions: Regions, masquerading: Masquerading, protocol: str
) -> dict[Client, Handling]:
    """One handling for each kind of client, where each result may concern some of its clients."""
    return {
        region.client: _alike(results_of(sent, bit), masquerading, protocol)
        for bit, region in enumerate(regions.regions)
    }


def _alike(results: list[Result], masquerading: Masquerading, protocol: str) -> Handling:
    """The handling of results that differ by third-party refusals only, without a backend."""
    own = [each for each in results if not (each.third_party and is_refused(each))] or results
    verdicts = {each.verdict for each in own}
    if len(verdicts) < 2 and Verdict.FORWARD not in verdicts:
        return _handling(own, masquerading, protocol)
    evidence = tuple(dict.fromkeys(each.rules for each in own))[:MOST_EVIDENCE]
    return Handling(Verdict.NOT_UNDERSTOOD, reason=TOO_MANY, evidence=evidence)


def _handling(
    results: list[Result],
    masquerading: Masquerading,
    protocol: str,
    senders: Senders | None = None,
) -> Handling:
    """The handling of clients for which the rules have exactly these results."""
    obscure = [each for each in results if each.verdict is Verdict.NOT_UNDERSTOOD]
    if obscure:
        return Handling(
            Verdict.NOT_UNDERSTOOD,
            reason=obscure[0].reason,
            evidence=tuple(each.rules for each in obscure),
            third_party=all(each.third_party for each in obscure),
        )
    forwards = [each for each in results if each.backend is not None]
    if not forwards:
        heaviest = max(results, key=lambda each: each.flow.weight, default=None)
        if heaviest is None:
            return Handling(Verdict.NOTHING)
        return _without_backend(heaviest)
    handling = _forward(forwards, masquerading, protocol)
    if senders is not None:
        handling = left_alone(handling, forwards, masquerading.by_mark, senders)
    lost = [each for each in results if each.backend is None and each.flow.recalled]
    if lost:
        # Returning clients that reach no backend have no session affinity.
        return structs.replace(handling, affinity=tuple(sorted({0, *handling.affinity})))
    return handling


def _without_backend(result: Result) -> Handling:
    if result.verdict is not Verdict.NOTHING:
        return Handling(
            result.verdict,
            evidence=(result.rules,) if result.rules else (),
            third_party=result.third_party,
            by_source=result.by_source,
        )
    accepted = result.flow.accepted
    return Handling(
        Verdict.NOTHING,
        evidence=tuple(each.rules for each in accepted),
        third_party=bool(accepted) and accepted[-1].third_party,
        by_mark=bool(accepted) and accepted[-1].by_mark,
    )


_MASQUERADE = {
    True: Masquerade.ALWAYS,
    False: Masquerade.NEVER,
    None: Masquerade.DROPPED,
}


def _forward(forwards: list[Result], masquerading: Masquerading, protocol: str) -> Handling:
    by_backend: dict[Backend, list[Result]] = {}
    for each in forwards:
        if each.backend is not None:
            by_backend.setdefault(each.backend, []).append(each)
    backends = tuple(sorted(by_backend))
    shares = [_share(by_backend[backend]) for backend in backends]
    unused = [each for each, share in zip(backends, shares, strict=True) if not share]
    draining = frozenset(each for each in unused if _is_draining(by_backend[each]))
    returns = any(each.flow.recalled for each in forwards)
    own_marks = {each.flow.mark for each in forwards}
    marks = {masquerading.by_mark(mark) for mark in own_marks}
    rules = [masquerading.rule_for(each) for each in sorted(own_marks)]
    return Handling(
        Verdict.FORWARD,
        backends,
        _evened(shares, len(backends) - len(draining)),
        tuple(sorted({_affinity(by_backend[each]) for each in backends})) if returns else (0,),
        _MASQUERADE[marks.pop()] if len(marks) == 1 else Masquerade.SOMETIMES,
        frozenset(
            backend
            for backend in backends
            if _is_hairpin(backend, by_backend[backend], masquerading, protocol)
        ),
        draining,
        evidence=tuple(_evidence(by_backend[backend]) for backend in backends),
        third_party=all(each.third_party for each in forwards),
        of_others=all(each.third_party for each in forwards),
        deciding=tuple(each for each in rules if each is not None)[:1],
    )


def _senders(
    region: Region, regions: Regions, masquerading: Masquerading, protocol: str
) -> Senders | None:
    """Examples of the region's clients, where rules may keep some from being masqueraded."""
    exemptions = masquerading.exemptions
    if exemptions is None or not exemptions.matters:
        return None
    return Senders.of(region, regions, exemptions, protocol)


def _share(results: Iterable[Result]) -> float:
    """Of new connections: returning clients come in addition."""
    share = 0.0
    for each in results:
        if each.flow.recalled is None:
            share += each.flow.weight
    return share


def _is_draining(results: Iterable[Result]) -> bool:
    """Whether no client is sent there, returning ones included.

    kube-proxy sets net.ipv4.vs.expire_quiescent_template: with a weight of 0 a real server
    loses the clients that IPVS would otherwise send back to it.
    """
    return all(each.flow.weight == 0 for each in results)


def _evened(shares: list[float], number: int) -> tuple[float, ...]:
    """The shares, made exactly even where all of `number` backends have about the same."""
    even = 1 / max(number, 1)
    if all(abs(share - even) <= EVEN * even for share in shares if share):
        return tuple(even if share else 0.0 for share in shares)
    return tuple(shares)


def _affinity(results: Iterable[Result]) -> int:
    """Seconds for which clients return to the backend, if the same list recalls and records it."""
    recalled = [each.flow.recalled for each in results if each.flow.recalled]
    if not recalled:
        return 0
    remembered = {each.remembers for each in results if each.remembers}
    return min((seconds for name, seconds in recalled if name in remembered), default=0)


def _is_hairpin(
    backend: Backend, results: Iterable[Result], masquerading: Masquerading, protocol: str
) -> bool:
    if (backend, protocol) in masquerading.own:
        return True
    by_mark = masquerading.by_mark
    for each in results:
        own = [mark for address, mark in each.flow.own_marks if address == backend.address]
        if not by_mark(each.flow.mark) and not any(map(by_mark, own)):
            return False
    return True


def _evidence(results: list[Result]) -> tuple[RuleText, ...]:
    """The rules on the path of new clients; if there are none, of returning clients."""
    for each in results:
        if each.flow.recalled is None:
            return each.rules
    return results[0].rules
