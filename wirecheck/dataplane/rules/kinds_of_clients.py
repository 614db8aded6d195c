"""From the handlings of regions to one handling for each kind of client."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import structs

from wirecheck.dataplane.clients import Intervals, difference, joined, ranges
from wirecheck.dataplane.rules.sources import Region
from wirecheck.dataplane.table import Handling, Masquerade, RuleText, Verdict, text_of

ENDS = frozenset({Verdict.DROP, Verdict.REJECT})
TAKEN = frozenset({Verdict.FORWARD, Verdict.UNTRACKED})
"""How third-party rules take connections away from those of Services."""

RuleWith = Callable[[str], RuleText | None]
"""Returns the third-party rule that has a condition; None if Kubernetes' own rules have it."""


def of_kind(
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
    admitted = ranges(joined(left), family)
    found = _by_address(left, family)
    return structs.replace(found, banned=ranges(banned, family), admitted=admitted)


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
