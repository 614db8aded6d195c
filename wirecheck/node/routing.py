"""The routes of one netns, and which of them a packet takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, network
from wirecheck.api_index.service_blocks import LENGTHS, Block
from wirecheck.node.netns import Interface, Netns
from wirecheck.snapshot.netns import Route, Rule

MAIN = 254
EVERYTHING = {4: network("0.0.0.0/0"), 6: network("::/0")}

Prefix = tuple[int, int, int]
"""Family, length, network address."""
Searched = tuple[Mapping[Prefix, Route], Sequence[int]]
"""A table, and its prefix lengths, the longest first."""


@dataclass(frozen=True)
class Routing:
    """The routes of one netns, by the routing rules that apply to every packet.

    Rules with a source, a mark or an interface apply to some packets only and are left out.
    The local table is not in the snapshot.
    """

    netns: Netns

    @cached_property
    def prefixes(self) -> Sequence[tuple[Prefix, Route]]:
        """Every route with its prefix."""
        return [(_prefix(destination_of(route)), route) for route in self.netns.record.routes]

    @cached_property
    def _tables(self) -> Mapping[int, Mapping[Prefix, Route]]:
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
        """By family, in the order in which the kernel evaluates them."""
        found: dict[int, list[Rule]] = {}
        for rule in sorted(self.netns.record.rules, key=lambda each: each.priority):
            found.setdefault(rule.family, []).append(rule)
        return found

    def route_to(self, target: IPAddress, longest: int = 128) -> Route | None:
        """Return the route of packets to `target`, or None without a route.

        Prefixes longer than `longest` are ignored: that gives the route of a whole range.
        """
        family, number, bits = target.version, int(target), target.max_prefixlen
        for table, lengths in self._searched(target):
            for length in lengths:
                if length > longest:
                    continue
                route = table.get((family, length, number >> (bits - length) << (bits - length)))
                if route is not None and route.type != "throw":
                    return route
                if route is not None:
                    break  # `throw` ends the search in this table alone.
        return None

    def route_in(self, table: int, target: IPAddress) -> Route | None:
        """Return the route to `target` in one table."""
        family, number, bits = target.version, int(target), target.max_prefixlen
        for length in self._lengths.get((table, family), ()):
            key = (family, length, number >> (bits - length) << (bits - length))
            if route := self._tables[table].get(key):
                return None if route.type == "throw" else route
        return None

    def _searched(self, target: IPAddress) -> Sequence[Searched]:
        """Return the tables in which `target` is looked up, in order."""
        family = target.version
        if family not in self._families_with_choice:
            return self._searched_by_all[family]
        return self._in_order(r for r in self._rules[family] if _applies_to_all(r, target))

    @cached_property
    def _families_with_choice(self) -> frozenset[int]:
        """The families with a rule that matches the destination."""
        return frozenset(each.family for each in self.netns.record.rules if each.destination)

    @cached_property
    def _searched_by_all(self) -> Mapping[int, Sequence[Searched]]:
        return {
            family: self._in_order(r for r in self._rules.get(family, ()) if _is_for_any_source(r))
            if family in self._rules
            else [(self._tables.get(MAIN, {}), self._lengths.get((MAIN, family), ()))]
            for family in EVERYTHING
        }

    def _in_order(self, rules: Iterable[Rule]) -> Sequence[Searched]:
        return [
            (self._tables.get(rule.table, {}), self._lengths.get((rule.table, rule.family), ()))
            for rule in rules
            if rule.action == "lookup"
        ]

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
        return self.netns.by_index.get(route.index or 0)

    def text_of(self, route: Route | None) -> str:
        """Return `10.244.1.0/24 via 10.244.1.0 dev flannel.1`, as `ip route` prints it."""
        if route is None:
            return "no route"
        device = self.device_of(route)
        words = ["" if route.type == "unicast" else route.type, route.destination]
        words += [f"via {route.gateway}" if route.gateway else ""]
        words += [f"dev {device.name}" if device else "", f"via {_hops(route)}" * bool(route.hops)]
        return " ".join(filter(None, words))


def _hops(route: Route) -> str:
    return " and ".join(hop.get("gateway", "a device") for hop in route.hops)


def _is_for_any_source(rule: Rule) -> bool:
    return not (rule.source or rule.iif or rule.oif or rule.mark)


def _applies_to_all(rule: Rule, target: IPAddress) -> bool:
    is_matched = not rule.destination or target in network(rule.destination)
    return is_matched and _is_for_any_source(rule)


def destination_of(route: Route) -> IPNetwork:
    """Return the route's prefix."""
    if route.destination == "default":
        return EVERYTHING[route.family]
    return network(route.destination)


def _prefix(range_: IPNetwork) -> Prefix:
    return range_.version, range_.prefixlen, int(range_.network_address)
