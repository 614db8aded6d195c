"""From the engine's results to the `Handling` of each kind of client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import structs

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.clients import Intervals, difference, joined, ranges
from wirecheck.dataplane.rules.flows import Result, is_refused
from wirecheck.dataplane.rules.masquerading import ByMark
from wirecheck.dataplane.rules.sources import Region, Regions
from wirecheck.dataplane.table import Client, Handling, Masquerade, RuleText, Verdict, text_of

EVEN = 1e-4
"""Shares nearer than this part to 1/n are even: probabilities are kept in units of 2^-31."""

ENDS = frozenset({Verdict.DROP, Verdict.REJECT})
TAKEN = frozenset({Verdict.FORWARD, Verdict.UNTRACKED})
"""How third-party rules take connections away from those of Services."""

RuleWith = Callable[[str], RuleText | None]
"""Returns the third-party rule that has a condition; None if Kubernetes' own rules have it."""

TOO_MANY = "its rules distinguish too many kinds of clients"
MOST_EVIDENCE = 8


class Masquerading(NamedTuple):
    """The effect of the rules after routing on forwarded connections."""

    by_mark: ByMark
    """Whether a packet with this mark is masqueraded; None where it is dropped."""
    own: frozenset[tuple[Backend, str]] = frozenset()
    """Backends whose connections to themselves, by protocol, are, whatever their mark."""


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
        key = tuple(map(id, own))
        if key not in made:
            made[key] = _handling(own, masquerading, protocol)
        by_client.setdefault(region.client, []).append((region, made[key]))
    return {
        client: _of_kind(
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


def _of_kind(
    parts: list[tuple[Region, Handling]],
    family: int,
    has_policies: bool,
    cluster: Intervals | None,
    rule_with: RuleWith,
) -> Handling:
    """One handling for a kind of client from those of its regions.

    `cluster` are the addresses of the cluster among clients outside of it: other nodes.
    """
    if len(parts) == 1:
        return parts[0][1]
    plain = {region.spans: each for region, each in parts if not region.conditions}
    for region, each in parts:
        if region.conditions and _depends(plain[region.spans], each, has_policies):
            if region.is_certain and (taken := _taken(region, each, rule_with)):
                return taken
            return _of_unknown_clients(region, each, plain[region.spans], rule_with)
    banned = () if cluster is None else _banned(plain, cluster) or _admitted(plain, cluster)
    if not banned:
        return _by_address(plain, family)
    left = {difference(spans, banned): each for spans, each in plain.items()}
    left.pop((), None)
    return structs.replace(_by_address(left, family), banned=ranges(banned, family))


def _taken(region: Region, assumed: Handling, rule_with: RuleWith) -> Handling | None:
    """The handling of clients that exist for certain, if a third-party rule takes them away."""
    if assumed.third_party and assumed.verdict in TAKEN:
        return assumed
    rules = tuple(each for each in map(rule_with, sorted(region.conditions)) if each is not None)
    if assumed.verdict is not Verdict.NOTHING or not rules:
        return None
    if assumed.third_party:
        return assumed
    return structs.replace(assumed, evidence=(rules,), third_party=True, by_source=True)


def _of_unknown_clients(
    region: Region, assumed: Handling, plain: Handling, rule_with: RuleWith
) -> Handling:
    """The handling where it is not known which clients match the region's conditions."""
    evidence = assumed.evidence or plain.evidence
    known = [rule_with(each) for each in sorted(region.conditions)]
    rules = tuple(each for each in known if each is not None)
    lines = {text_of(each) for of in evidence for each in of}
    if rules and not lines & set(map(text_of, rules)):
        evidence = (*evidence, rules)
    return Handling(
        Verdict.NOT_UNDERSTOOD,
        reason=f"it depends on a condition that is not known here: {', '.join(region.texts)}",
        evidence=evidence,
        third_party=len(rules) == len(known),
    )


def _banned(plain: Mapping[Intervals, Handling], cluster: Intervals) -> Intervals:
    """The addresses that third-party rules refuse; none if nobody is left, or by their policy."""
    refused = {spans for spans, each in plain.items() if _is_ban(each)}
    if len(refused) == len(plain):
        return ()
    return joined(difference(span, cluster) for span in refused)


def _admitted(plain: Mapping[Intervals, Handling], cluster: Intervals) -> Intervals:
    """The addresses that third-party rules accept before the Service refuses everybody else.

    Rules for containers and virtual machines of the node or for a VPN accept all that these send.
    None if another rule than a refusal is for the others.
    """
    accepted = {spans for spans, each in plain.items() if _is_admission(each)}
    others = [each for spans, each in plain.items() if spans not in accepted]
    if not others or any(each.verdict not in ENDS for each in others):
        return ()
    return joined(difference(span, cluster) for span in accepted)


def _is_admission(handling: Handling) -> bool:
    return handling.verdict is Verdict.NOTHING and handling.third_party


def _is_ban(handling: Handling) -> bool:
    return handling.verdict in ENDS and handling.third_party and handling.by_source


def _depends(plain: Handling, assumed: Handling, has_policies: bool) -> bool:
    """Whether an unrecognised condition changes how a Service's connections are handled."""
    if _fate(plain) == _fate(assumed):
        return False
    if not (has_policies or assumed.third_party):
        return True
    if plain.verdict is Verdict.FORWARD:
        return assumed.verdict not in ENDS
    return assumed.verdict not in ENDS and assumed.verdict is not Verdict.NOTHING


def _by_address(parts: Mapping[Intervals, Handling], family: int) -> Handling:
    """One handling where at most some addresses are dropped, else MIXED."""
    by_fate: dict[object, list[tuple[Intervals, Handling]]] = {}
    for spans, each in parts.items():
        by_fate.setdefault(_fate(each), []).append((spans, each))
    groups = list(by_fate.values())
    if len(groups) == 1:
        return groups[0][0][1]
    handlings = [each for group in groups for _, each in group]
    obscure = [each for each in handlings if each.verdict is Verdict.NOT_UNDERSTOOD]
    if obscure:
        return obscure[0]
    if len({_fate(each)[:-2] for each in handlings}) == 1:
        return structs.replace(handlings[0], masquerade=Masquerade.SOMETIMES)
    kept = [group for group in groups if group[0][1].verdict is not Verdict.DROP]
    if len(groups) == 2 and len(kept) == 1:
        refusing = next(group for group in groups if group is not kept[0])[0][1]
        only = _only_from(kept[0], family)
        rules = tuple(rule for each in refusing.evidence for rule in each)
        third_party = refusing.third_party
        return structs.replace(only, refusing=rules, third_party=third_party or only.third_party)
    words = "; ".join(
        f"{', '.join(_ranges_of(group, family)[:3])}: {group[0][1].verdict}" for group in groups
    )
    evidence = tuple(lines for group in groups for lines in group[0][1].evidence)
    by_range = tuple(_only_from(group, family) for group in groups)
    return Handling(Verdict.MIXED, reason=words, evidence=evidence, parts=by_range)


def _only_from(group: list[tuple[Intervals, Handling]], family: int) -> Handling:
    return structs.replace(group[0][1], allowed=_ranges_of(group, family))


def _ranges_of(group: list[tuple[Intervals, Handling]], family: int) -> tuple[str, ...]:
    return ranges(joined(spans for spans, _ in group), family)


def _fate(handling: Handling) -> tuple[object, ...]:
    """The key by which two handlings are the same, whichever rules produce them."""
    return (
        handling.verdict,
        handling.backends,
        handling.shares,
        handling.affinity,
        # These two last: they do not affect where connections go.
        handling.masquerade,
        handling.hairpin,
    )


def _handling(results: list[Result], masquerading: Masquerading, protocol: str) -> Handling:
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
    marks = {masquerading.by_mark(mark) for mark in {each.flow.mark for each in forwards}}
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
    )


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
