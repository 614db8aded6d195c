"""Routing rules of a node: that its own addresses come first, and who made the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, network
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.netns import Rule

LOCAL = 255
"""The table in which the kernel keeps the node's own addresses."""
REFUSING = frozenset({"blackhole", "unreachable", "prohibit"})
KERNEL, STATIC = 2, 4
"""The protocols of rules that systemd-networkd does not remove: the kernel's, and its own."""


@dataclass(frozen=True)
class Diverted:
    """One of the node's own addresses that is not looked up in table local first."""

    family: int
    address: IPAddress
    by: Rule | None
    """None where no rule looks up table local."""

    @property
    def found(self) -> str:
        if self.by is None:
            return "no rule looks up table local"
        return f"{rule_text(self.by)} comes before table local"


@dataclass(frozen=True)
class RoutingRules:
    """The rules of the node's own netns."""

    seen: NodeSeen

    @cached_property
    def by_family(self) -> dict[int, list[Rule]]:
        """The rules in the order in which the kernel evaluates them."""
        rules = self.seen.host.record.rules
        if not rules:
            raise FactMissingError(
                f"The visit to {self.seen.name} read no routing rules, not even the kernel's own. "
                "Run `ip rule` on the node."
            )
        return {
            family: [
                rule
                for rule in sorted(rules, key=lambda each: each.priority)
                if rule.family == family
            ]
            for family in (4, 6)
        }

    @property
    def diverted(self) -> Iterator[Diverted]:
        """The first own address of each family that another rule takes before table local."""
        families = {each.version for each in self.seen.addresses} | self.seen.families_of_pods
        for family in sorted(families):
            for own in sorted(self.seen.host.addresses, key=str):
                if own.version == family and (found := self._diverted(own)):
                    yield found
                    break

    def _diverted(self, own: IPAddress) -> Diverted | None:
        for rule in self.by_family[own.version]:
            if not _may_match(rule, own):
                continue
            if rule.action == "lookup" and rule.table == LOCAL and not rule.source:
                return None
            if rule.action in REFUSING:
                return Diverted(own.version, own, rule)
            if rule.action == "lookup" and self.seen.routing.route_in(rule.table, own):
                # Table main has a route to every address: the default route.
                by = rule if self._looks_up_local(own.version) else None
                return Diverted(own.version, own, by)
        return Diverted(own.version, own, None)

    def _looks_up_local(self, family: int) -> bool:
        return any(each.table == LOCAL for each in self.by_family[family])

    @property
    def third_party(self) -> Iterator[Rule]:
        """The rules whose protocol is neither the kernel's nor systemd-networkd's."""
        for rules in self.by_family.values():
            for rule in rules:
                is_usual = (rule.priority, rule.table) in USUAL
                if not is_usual and rule.protocol not in (None, KERNEL, STATIC):
                    yield rule


USUAL = frozenset({(0, LOCAL), (32766, 254), (32767, 253)})
"""The priority and table of the rules that every new netns has."""


def _may_match(rule: Rule, own: IPAddress) -> bool:
    """Return whether the rule may match packets to the address from any sender.

    Rules with a mark or a device match selected packets only: those are intended.
    """
    if rule.mark or rule.iif or rule.oif or rule.action.endswith("(not)"):
        return False
    return not rule.destination or own in network(rule.destination)


def rule_text(rule: Rule) -> str:
    """Return `100: from 10.0.0.0/8 lookup 100`, as `ip rule` prints it."""
    words = [f"{rule.priority}:", f"from {rule.source or 'all'}"]
    words += [f"to {rule.destination}"] if rule.destination else []
    words += [f"fwmark {rule.mark}"] if rule.mark else []
    words += [f"iif {rule.iif}"] if rule.iif else []
    table = {LOCAL: "local", 254: "main", 253: "default"}.get(rule.table, str(rule.table))
    return " ".join([*words, f"lookup {table}" if rule.action == "lookup" else rule.action])
