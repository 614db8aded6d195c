"""Routing rules of a node: that its own addresses come first, and who made the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, network
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.node.routing import Routing
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.netns import Rule

LOCAL = 255
"""The table that the kernel fills with the node's own addresses."""
REFUSING = frozenset({"blackhole", "unreachable", "prohibit"})
KERNEL, STATIC = 2, 4
"""Protocols of rules that systemd-networkd leaves alone, and that it gives to its own."""


@dataclass(frozen=True)
class Diverted:
    """One of the node's own addresses that another rule than the local one takes."""

    family: int
    address: IPAddress
    by: Rule | None
    """None where no rule at all looks in the local table."""

    @property
    def found(self) -> str:
        if self.by is None:
            return "no rule looks in table local"
        return f"{rule_text(self.by)} comes before table local"


@dataclass(frozen=True)
class RoutingRules:
    """The rules of the node's own netns."""

    seen: NodeSeen

    @cached_property
    def by_family(self) -> dict[int, list[Rule]]:
        """In the order in which the kernel asks them. Raises where none were seen."""
        rules = self.seen.host.record.rules
        if not rules:
            raise FactMissingError(f"{self.seen.name} told of no routing rule, not even its own.")
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
        """The first address of each family that does not come to the node itself."""
        families = {each.version for each in self.seen.addresses} | self.seen.families_of_pods
        for family in sorted(families):
            for own in sorted(self.seen.host.addresses, key=str):
                if own.version == family and (found := self._diverted(own)):
                    yield found
                    break

    def _diverted(self, own: IPAddress) -> Diverted | None:
        for rule in self.by_family[own.version]:
            if not _concerns(rule, own):
                continue
            if rule.action == "lookup" and rule.table == LOCAL and not rule.source:
                return None
            if rule.action in REFUSING:
                return Diverted(own.version, own, rule)
            if rule.action == "lookup" and self._routing.route_in(rule.table, own):
                # Table main always has a route, if only the default one.
                by = rule if self._looks_in_local(own.version) else None
                return Diverted(own.version, own, by)
        return Diverted(own.version, own, None)

    def _looks_in_local(self, family: int) -> bool:
        return any(each.table == LOCAL for each in self.by_family[family])

    @cached_property
    def _routing(self) -> Routing:
        return Routing(self.seen.host)

    @property
    def of_others(self) -> Iterator[Rule]:
        """Rules that neither the kernel nor systemd-networkd made, as far as they tell."""
        for rules in self.by_family.values():
            for rule in rules:
                is_usual = (rule.priority, rule.table) in USUAL
                if not is_usual and rule.protocol not in (None, KERNEL, STATIC):
                    yield rule


USUAL = frozenset({(0, LOCAL), (32766, 254), (32767, 253)})
"""Priority and table of the rules that every netns begins with."""


def _concerns(rule: Rule, own: IPAddress) -> bool:
    """Whether it may hold for packets to the address, whoever sends them.

    What is asked for a mark or a device concerns packets that somebody chose, and is meant so.
    """
    if rule.mark or rule.iif or rule.oif or rule.action.endswith("(not)"):
        return False
    return not rule.destination or own in network(rule.destination)


def rule_text(rule: Rule) -> str:
    """`100: from 10.0.0.0/8 lookup 100`, as ip prints it."""
    words = [f"{rule.priority}:", f"from {rule.source or 'all'}"]
    words += [f"to {rule.destination}"] if rule.destination else []
    words += [f"fwmark {rule.mark}"] if rule.mark else []
    words += [f"iif {rule.iif}"] if rule.iif else []
    table = {LOCAL: "local", 254: "main", 253: "default"}.get(rule.table, str(rule.table))
    return " ".join([*words, f"lookup {table}" if rule.action == "lookup" else rule.action])
