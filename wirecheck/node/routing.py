"""The routes of one netns, and which of them a packet takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, address, network
from wirecheck.api_index.service_blocks import LENGTHS, Block
from wirecheck.node.netns import Interface, Netns
from wirecheck.node.rule_selectors import (
    FROM_NODE,
    Ordered,
    Origin,
    RulesOfOrigin,
    action_of,
    rules_of,
)
from wirecheck.snapshot.netns import Route, Rule

UNSPECIFIED, DEFAULT, MAIN, LOCAL = 0, 253, 254, 255
"""Numbers of routing tables. A route that a rule stands for has table UNSPECIFIED."""
REFUSING = frozenset({"blackhole", "unreachable", "prohibit"})
"""Actions of rules, and types of routes, that drop packets."""
EVERYTHING = {4: network("0.0.0.0/0"), 6: network("::/0")}

Prefix = tuple[int, int, int]
"""Family, length, network address."""
Table = Mapping[Prefix, Route]
Step = tuple[Rule, Table, Sequence[int]]
"""A rule, the table that it asks for, and the table's prefix lengths, the longest first."""


@dataclass(frozen=True)
class Routing:
    """The routes of one netns, and the routing rules that choose a table.

    The local table is not in the snapshot; it is the set of the netns' own addresses.
    """

    netns: Netns

    @cached_property
    def prefixes(self) -> Sequence[tuple[Prefix, Route]]:
        """Every route with its prefix."""
        return [(_prefix(destination_of(route)), route) for route in self.netns.record.routes]

    @cached_property
    def _tables(self) -> Mapping[int, Table]:
        tables: dict[int, dict[Prefix, Route]] = {}
        for key, route in self.prefixes:
            table = tables.setdefault(route.table, {})
            known = table.get(key)
            if known is None or route.metric < known.metric:
                table[key] = route
        return tables

    @cached_property
    def _lengths(self) -> Mapping[tuple[int, int], tuple[int, ...]]:
        """The prefix lengths by (table, family), the longest first."""
        found: dict[tuple[int, int], set[int]] = {}
        for table, routes in self._tables.items():
            for family, length, _ in routes:
                found.setdefault((table, family), set()).add(length)
        return {key: tuple(sorted(lengths, reverse=True)) for key, lengths in found.items()}

    @cached_property
    def _rules(self) -> Mapping[int, Sequence[Rule]]:
        """By family. Documents without any rules of a family have those of every new netns."""
        found: dict[int, list[Rule]] = {}
        for rule in self.netns.record.rules:
            found.setdefault(rule.family, []).append(rule)
        usual = {0: LOCAL, 32766: MAIN, 32767: DEFAULT}
        return {
            family: found.get(family) or [Rule(family, *each) for each in usual.items()]
            for family in EVERYTHING
        }

    @cached_property
    def _rules_by_origin(self) -> dict[tuple[int, Origin], RulesOfOrigin]:
        return {}

    @cached_property
    def own(self) -> frozenset[IPAddress]:
        """Every address of the netns, also those of lo."""
        return frozenset(address(each.address) for each in self.netns.record.addresses)

    def route_to(
        self, target: IPAddress, longest: int = 128, origin: Origin = FROM_NODE
    ) -> Route | None:
        """Return the route of packets to `target`, or None without a route.

        Prefixes longer than `longest` are ignored: that gives the route of a whole range. For a
        rule that refuses packets, and for an own address, the route only says so (`type`).
        """
        return self.decision(target, longest, origin)[0]

    def decision(
        self, target: IPAddress, longest: int = 128, origin: Origin = FROM_NODE
    ) -> tuple[Route | None, Rule | None]:
        """Return the route and the rule that chose it."""
        at_least = -1
        steps = self._simple.get(target.version)
        if steps is not None:
            return self._first_of(steps, target, longest)
        for _, rule in self._rules_for(target, origin):
            if rule.priority < at_least:
                continue
            action = action_of(rule)
            if action == "goto" and rule.goto is not None:
                at_least = rule.goto
            elif action in REFUSING:
                return _refused_by(rule), rule
            elif action == "lookup":
                is_whole = longest >= target.max_prefixlen
                if rule.table == LOCAL and is_whole and self._is_own(target.version, int(target)):
                    return Route(target.version, str(target), LOCAL, "local"), rule
                route = self._best(rule.table, target, longest)
                if route is not None and not _is_suppressed(route, rule):
                    return route, rule
        return None, None

    def _rules_for(self, target: IPAddress, origin: Origin) -> Sequence[Ordered]:
        key = (target.version, origin)
        known = self._rules_by_origin.get(key)
        if known is None:
            known = rules_of(self._rules[target.version], origin)
            self._rules_by_origin[key] = known
        return known.for_destination(target)

    @cached_property
    def _simple(self) -> Mapping[int, Sequence[Step]]:
        """The tables by family, where every rule asks for one, whatever the packet is.

        So it is on most nodes, where each is asked for the routes to all others.
        """
        tables, lengths = self._tables, self._lengths
        return {
            family: [
                (each, tables.get(each.table, {}), lengths.get((each.table, family), ()))
                for each in sorted(rules, key=lambda rule: rule.priority)
            ]
            for family, rules in self._rules.items()
            if all(map(_is_simple, rules))
        }

    def is_by_destination(self, family: int) -> bool:
        """Return whether the route depends on a packet's destination alone."""
        return family in self._simple

    def _first_of(
        self, steps: Sequence[Step], target: IPAddress, longest: int
    ) -> tuple[Route | None, Rule | None]:
        family, number, bits = target.version, int(target), target.max_prefixlen
        for rule, routes, lengths in steps:
            if rule.table == LOCAL and longest >= bits and self._is_own(family, number):
                return Route(family, str(target), LOCAL, "local"), rule
            for length in lengths:
                if length <= longest:
                    key = (family, length, number >> (bits - length) << (bits - length))
                    route = routes.get(key)
                    if route is not None and route.type != "throw":
                        return route, rule
                    if route is not None:
                        break
        return None, None

    @cached_property
    def _own_numbers(self) -> frozenset[tuple[int, int]]:
        return frozenset((each.version, int(each)) for each in self.own)

    def _is_own(self, family: int, number: int) -> bool:
        is_loopback = number >> 24 == 127 if family == 4 else number == 1
        return is_loopback or (family, number) in self._own_numbers

    def _best(self, table: int, target: IPAddress, longest: int) -> Route | None:
        """The route with the longest prefix in one table; `throw` ends the search there."""
        family, number, bits = target.version, int(target), target.max_prefixlen
        routes = self._tables.get(table, {})
        for length in self._lengths.get((table, family), ()):
            if length <= longest:
                key = (family, length, number >> (bits - length) << (bits - length))
                if route := routes.get(key):
                    return None if route.type == "throw" else route
        return None

    def route_in(self, table: int, target: IPAddress) -> Route | None:
        """Return the route to `target` in one table."""
        return self._best(table, target, target.max_prefixlen)

    def has_routes(self, table: int, family: int) -> bool:
        """Return whether a table has any route of a family."""
        return (table, family) in self._lengths

    def is_uniform(self, block: Block) -> bool:
        """Return whether all packets to a block take the same route."""
        return block not in self._divided

    @cached_property
    def _divided(self) -> frozenset[Block]:
        """The blocks within which routes or routing rules differ."""
        matched = [
            network(each.destination) for each in self.netns.record.rules if each.destination
        ]
        prefixes = [*map(_prefix, matched), *(prefix for prefix, _ in self.prefixes)]
        return frozenset(
            (family, start >> (EVERYTHING[family].max_prefixlen - LENGTHS[family]))
            for family, length, start in prefixes
            if length > LENGTHS[family]
        )

    def device_of(self, route: Route) -> Interface | None:
        """Return the route's interface; None for lo, for several hops, and for refusing routes."""
        return self.netns.at(route.index)

    def text_of(self, route: Route | None) -> str:
        """Return `10.244.1.0/24 via 10.244.1.0 dev flannel.1`, as `ip route` prints it.

        With its table if that is none of the kernel's own: `10.0.0.0/8 dev wg0 table 52`.
        """
        if route is None:
            return "no route"
        if route.table == UNSPECIFIED:
            return f"{route.type} by routing rule {route.metric}"
        device = self.device_of(route)
        words = ["" if route.type == "unicast" else route.type, route.destination]
        words += [f"via {route.gateway}" if route.gateway else ""]
        words += [f"dev {device.name}" if device else "", f"via {_hops(route)}" * bool(route.hops)]
        words += [f"table {route.table}" if is_in_further_table(route) else ""]
        return " ".join(filter(None, words))


def is_in_further_table(route: Route) -> bool:
    """Return whether a routing rule that somebody added leads to the route."""
    return route.table not in (UNSPECIFIED, DEFAULT, MAIN, LOCAL)


def _hops(route: Route) -> str:
    return " and ".join(hop.get("gateway", "a device") for hop in route.hops)


def _is_simple(rule: Rule) -> bool:
    """Whether the rule looks up a table for every packet."""
    return rule == Rule(rule.family, rule.priority, rule.table, protocol=rule.protocol)


def leads_on(route: Route | None) -> bool:
    """Return whether packets are forwarded or received, not refused."""
    return route is not None and route.type in ("unicast", "local")


def length_of(route: Route) -> int:
    """Return the length of the route's prefix."""
    return destination_of(route).prefixlen


def _refused_by(rule: Rule) -> Route:
    """The route that a refusing rule stands for. Its metric is the rule's priority."""
    return Route(
        rule.family,
        rule.destination or "default",
        UNSPECIFIED,
        action_of(rule),
        metric=rule.priority,
    )


def _is_suppressed(route: Route, rule: Rule) -> bool:
    """Whether the rule ignores so wide a route: `suppress_prefixlength` of WireGuard and others."""
    return rule.suppress_prefix is not None and length_of(route) <= rule.suppress_prefix


def destination_of(route: Route) -> IPNetwork:
    """Return the route's prefix."""
    if route.destination == "default":
        return EVERYTHING[route.family]
    return network(route.destination)


def _prefix(range_: IPNetwork) -> Prefix:
    return range_.version, range_.prefixlen, int(range_.network_address)
