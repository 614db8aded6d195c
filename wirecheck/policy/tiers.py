"""Admin policies: tiers of ordered rules before and after NetworkPolicies.

The first rule that matches decides: it accepts, denies, or passes on to the next tier.
NetworkPolicies decide about pods that they isolate, and the baseline tier about all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from wirecheck.api_index.policies import name_of_other
from wirecheck.policy.admin_match import matches_rule, ports_of_rule, selects_class
from wirecheck.policy.peers import Peer, PodClass
from wirecheck.policy.ports import ALL_PORTS, NO_PORTS, PortSet
from wirecheck.policy.reach import OPEN, Direction, Part, Reach, union
from wirecheck.policy.rules import Namespaces
from wirecheck.policy.selection import Match
from wirecheck.snapshot.objects.admin_rules import ACCEPT, ADMIN, DENY, AdminRule
from wirecheck.snapshot.objects.other_policy import OtherPolicyObject

Selected = tuple[tuple[OtherPolicyObject, Match], ...]
"""Admin policies in their order, and whether each selects the pods or may do so."""
SAME_PRIORITY = "policies of one priority decide differently, and their order is not defined"


HALF_ISOLATED = (
    "the API does not define whether the baseline decides about pods that a NetworkPolicy isolates "
    "for the other direction only"
)


class Connection(NamedTuple):
    """The direction of the policies, the other end, and the end that has the ports."""

    direction: Direction
    other: Peer
    target: Peer


@dataclass
class Tier:
    """What the rules of a tier decide about ports, one after the other."""

    left: PortSet
    """The ports about which no rule has decided yet."""
    passed: PortSet = NO_PORTS
    """Those that the next tier decides about, because a rule passes them on."""
    allowed: list[Part] = field(default_factory=list)
    denied: list[Part] = field(default_factory=list)
    doubts: list[Part] = field(default_factory=list)

    def decide(self, ports: PortSet, action: str, reason: str) -> None:
        """Apply a rule to those of the ports that are left."""
        here = ports & self.left
        if not here:
            return
        self.left -= here
        if action == ACCEPT:
            self.allowed.append(Part(here, reason))
        elif action == DENY:
            self.denied.append(Part(here, reason))
        else:
            self.passed |= here

    def doubt(self, ports: PortSet, reason: str) -> None:
        """Leave those of the ports that are left undecided."""
        if here := ports & self.left:
            self.left -= here
            self.doubts.append(Part(here, reason))


@dataclass(frozen=True)
class Tiers:
    """The admin policies of a cluster whose rules are known."""

    policies: tuple[OtherPolicyObject, ...]
    namespaces: Namespaces
    dual_stack: bool = False
    """Whether pods have addresses of both families."""

    @cached_property
    def _ordered(self) -> tuple[OtherPolicyObject, ...]:
        known = [each for each in self.policies if each.admin is not None]
        return tuple(sorted(known, key=_order))

    def selecting(self, subject: PodClass, direction: Direction) -> Selected:
        """The policies with rules for the direction that select the pods, or may do so."""
        if subject.on_host_network:
            return ()
        found = (
            (each, self._selects(each, subject))
            for each in self._ordered
            if _rules_of(each, direction)
        )
        return tuple((each, result) for each, result in found if result is not Match.NO)

    def _selects(self, policy: OtherPolicyObject, subject: PodClass) -> Match:
        return max(
            (
                selects_class(each.namespaces, each.pods, subject, self.namespaces)[0]
                for each in policy.choices
            ),
            default=Match.NO,
        )

    def around(
        self, reach: Reach, selected: Selected, connection: Connection, *, is_half_isolated: bool
    ) -> Reach:
        """What NetworkPolicies allow, with what the tiers decide before and after them.

        `is_half_isolated`: whether they isolate the pods for the other direction only. The API says
        that they decide about pods which they select, and programs differ in what that means.
        """
        of_admins = [each for each in selected if _tier(each[0]) == ADMIN]
        of_baseline = [each for each in selected if _tier(each[0]) != ADMIN]
        first = self._decided(of_admins, ALL_PORTS, connection)
        rest = first.left | first.passed
        if reach.isolated_by or reach.doubts:
            allowed, doubts = _within(reach.allowed, rest), _within(reach.doubts, rest)
            last = Tier(NO_PORTS)
        else:
            last = self._decided(of_baseline, rest, connection)
            if is_half_isolated:
                last.doubts += [Part(each.ports, HALF_ISOLATED) for each in last.denied]
                last.denied.clear()
            open_ = last.left | last.passed
            allowed, doubts = [Part(open_, OPEN)] if open_ else [], []
        return Reach(
            (*first.allowed, *last.allowed, *allowed),
            (*first.doubts, *last.doubts, *doubts),
            reach.isolated_by,
            (*first.denied, *last.denied),
        )

    def _decided(
        self,
        selected: Sequence[tuple[OtherPolicyObject, Match]],
        ports: PortSet,
        connection: Connection,
    ) -> Tier:
        tier = Tier(ports)
        for _, group in groupby(selected, key=lambda each: _priority(each[0])):
            equal = list(group)
            before = tier.left
            alone = [self._alone(each, before, connection) for each in equal]
            if len(equal) > 1:
                tier.doubt(_contested(alone, before), SAME_PRIORITY)
            for each in alone:
                _add(tier, each)
        return tier

    def _alone(
        self,
        selected: tuple[OtherPolicyObject, Match],
        ports: PortSet,
        connection: Connection,
    ) -> Tier:
        """What one policy decides by itself."""
        policy, selects = selected
        direction, other, target = connection
        tier, name = Tier(ports), name_of_other(policy)
        for number, rule in enumerate(_rules_of(policy, direction), start=1):
            result, reason = matches_rule(rule, other, self.namespaces, dual_stack=self.dual_stack)
            if result is Match.NO:
                continue
            called = f"{name}, {direction.lower()} rule {number}"
            sure, unsure = ports_of_rule(rule, target)
            if selects is result is Match.YES:
                verb = "denies" if rule.action == DENY else "accepts"
                tier.decide(sure, rule.action, f"{called} {verb} it")
            else:
                why = reason or f"it is not known whether {name} selects the pod"
                tier.doubt(sure, f"{called}: {why}")
            tier.doubt(unsure, f"{called}: several containers, or only a sidecar, have the port")
        return tier


def _add(tier: Tier, alone: Tier) -> None:
    for parts, action in ((alone.allowed, ACCEPT), (alone.denied, DENY)):
        for part in parts:
            tier.decide(part.ports, action, part.reason)
    for part in alone.doubts:
        tier.doubt(part.ports, part.reason)
    here = alone.passed & tier.left
    tier.left -= here
    tier.passed |= here


def _contested(alone: Sequence[Tier], ports: PortSet) -> PortSet:
    """The ports about which policies decide differently."""
    found = NO_PORTS
    for at, one in enumerate(alone):
        for other in alone[at + 1 :]:
            both = (ports - one.left) & (ports - other.left)
            for first in _decisions(one):
                for second in _decisions(other):
                    if first[0] != second[0]:
                        found |= first[1] & second[1] & both
    return found


def _decisions(tier: Tier) -> Iterator[tuple[str, PortSet]]:
    yield "allowed", union(tier.allowed)
    yield "denied", union(tier.denied)
    yield "passed", tier.passed
    yield "doubts", union(tier.doubts)


def _within(parts: Iterable[Part], ports: PortSet) -> list[Part]:
    return [Part(here, each.reason) for each in parts if (here := each.ports & ports)]


def _rules_of(policy: OtherPolicyObject, direction: Direction) -> Sequence[AdminRule]:
    if policy.admin is None:
        return ()
    return policy.admin.ingress if direction is Direction.INGRESS else policy.admin.egress


def _tier(policy: OtherPolicyObject) -> str:
    return policy.admin.tier if policy.admin else ""


def _priority(policy: OtherPolicyObject) -> int:
    return policy.admin.priority if policy.admin else 0


def _order(policy: OtherPolicyObject) -> tuple[str, int, str, str]:
    return _tier(policy), _priority(policy), policy.kind, policy.metadata.name
