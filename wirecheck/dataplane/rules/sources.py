"""Sets of clients as bit masks, refined only where a rule distinguishes clients of one kind.

The engine follows all kinds of clients at once; the set of those that match a rule is one
integer, at first with one bit for each kind. If a rule's range cuts through a kind, or a rule has
an unrecognised condition, `NeedsSplitError` names the condition. The engine then starts
again with that kind in two parts, so that only the few frontends with such rules pay for them.

A packet comes in by one interface. Where the node's interfaces are known, each region has those by
which its packets may come in, so that rules for 100 interfaces make about 100 regions of a kind,
and not two to the power of 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from wirecheck.addresses import network
from wirecheck.dataplane.clients import Clients, Intervals, difference, intersection, intervals
from wirecheck.dataplane.rules.steps import IN, LOOPBACK, SourceTest
from wirecheck.dataplane.table import Client

MOST_REGIONS = 512
"""If a frontend's rules need more regions, its clients are followed together.

Regions that differ only in the interface count once: a node may have a few hundred pods.
"""

MOST_OF_ALL = 4_096
"""The same with the interfaces."""

MOST_KEPT = 64
"""Splits that are kept for the next frontend: most are the same for many."""


class NeedsSplitError(Exception):
    """The regions have to be split by this test before it can be answered."""

    def __init__(self, test: SourceTest) -> None:
        super().__init__(test)
        self.test = test


class Region(NamedTuple):
    """Clients of one kind that all rules so far treat alike."""

    client: Client
    spans: Intervals
    conditions: frozenset[str]
    """The unrecognised conditions that they are assumed to match, and those on their interface."""
    interfaces: frozenset[str] | None = None
    """The interfaces by which they may come in; None if the node's interfaces are not known."""
    is_certain: bool = False
    """Whether there are such clients for certain: the condition is on the node's uplink."""

    @property
    def texts(self) -> list[str]:
        """The conditions, as in rules."""
        return sorted(each.removeprefix("other ") for each in self.conditions)


class Regions:
    """All regions of one family; bit i of a mask represents the i-th."""

    def __init__(
        self, family: int, clients: Clients, regions: tuple[Region, ...], conditions: frozenset[str]
    ) -> None:
        self.family = family
        self.clients = clients
        self.regions = regions
        self.conditions = conditions
        self.all = (1 << len(regions)) - 1
        self.by_client = {
            client: sum(1 << bit for bit, each in enumerate(regions) if each.client is client)
            for client in clients.of(family)
        }
        self.kinds = tuple(self.by_client)
        self._masks: dict[tuple[SourceTest, ...], int] = {(): self.all}
        self._finer: dict[tuple[SourceTest, ...], Regions] = {}

    @classmethod
    def of(cls, family: int, clients: Clients) -> Regions:
        """One region for each kind of client."""
        regions = tuple(
            Region(client, spans, frozenset(), clients.interfaces)
            for client, spans in clients.of(family).items()
        )
        return cls(family, clients, regions, frozenset())

    def matching(self, tests: tuple[SourceTest, ...]) -> int:
        """The clients that match all tests; NeedsSplitError if a region does so in part."""
        mask = self._masks.get(tests)
        if mask is None:
            mask = self.all
            for test in tests:
                mask &= self._matching(test)
            self._masks[tests] = mask
        return mask

    def knows(self, tests: tuple[SourceTest, ...]) -> bool:
        """Whether `matching` has an answer without a split."""
        try:
            self.matching(tests)
        except NeedsSplitError:
            return False
        return True

    def _matching(self, test: SourceTest) -> int:
        if test.kind == "network":
            mask = self._from_network(test)
        elif test.kind == "local":
            mask = self.by_client.get(Client.NODE, 0)
        elif test.kind == IN and self._is_known(test.value):
            own = test.value != LOOPBACK
            mask = self.by_client.get(Client.POD, 0) if own else 0
        elif test.kind == IN and self._is_unused(test):
            mask = 0
        else:
            mask = self._assumed(test)
        return self.all & ~mask if test.negated else mask

    def _from_network(self, test: SourceTest) -> int:
        wanted = intervals(map(network, test.value.split(",")))
        mask = 0
        for bit, region in enumerate(self.regions):
            inside = intersection(region.spans, wanted)
            if inside and inside != region.spans:
                raise NeedsSplitError(test)
            if inside:
                mask |= 1 << bit
        return mask

    def _is_known(self, interface: str) -> bool:
        own = self.clients.local_interface
        of_pods = {self.clients.bridge, own, f"{own}+" if own else ""} - {""}
        return interface == LOOPBACK or interface in of_pods

    def _is_unused(self, test: SourceTest) -> bool:
        """Whether no client comes in there: docker0, or a device that the node does not have."""
        known = self.clients.interfaces
        return known is not None and not any(map(test.names_device, known))

    def _assumed(self, test: SourceTest) -> int:
        name = test.name
        if name not in self.conditions:
            raise NeedsSplitError(test)
        mask = sum(1 << bit for bit, each in enumerate(self.regions) if name in each.conditions)
        if test.kind != IN:
            return mask
        # The node's own packets have no input interface, and those of pods on a bridge no other.
        mask &= ~self.by_client.get(Client.NODE, 0)
        return mask & ~self.by_client.get(Client.POD, 0) if self.clients.bridge else mask

    @property
    def are_too_many(self) -> bool:
        """Whether rules distinguish more clients than can be followed."""
        if len(self.regions) <= MOST_REGIONS:
            return False
        others = {(each.client, each.spans, _others(each.conditions)) for each in self.regions}
        return len(others) > MOST_REGIONS or len(self.regions) > MOST_OF_ALL

    def split(self, *tests: SourceTest) -> Regions:
        """The same clients in finer regions, in which `tests` have answers."""
        finer = self._finer.get(tests)
        if finer is None:
            finer = self
            for test in tests:
                if test.name not in finer.conditions:
                    finer = finer._split(test)
            if len(self._finer) < MOST_KEPT:
                self._finer[tests] = finer
        return finer

    def _split(self, test: SourceTest) -> Regions:
        if test.kind == "network":
            wanted = intervals(map(network, test.value.split(",")))
            pieces = tuple(
                region._replace(spans=spans)
                for region in self.regions
                for spans in (
                    intersection(region.spans, wanted),
                    difference(region.spans, wanted),
                )
                if spans
            )
            return Regions(self.family, self.clients, pieces, self.conditions)
        assumed = tuple(part for each in self.regions for part in self._parts(each, test))
        return Regions(self.family, self.clients, assumed, self.conditions | {test.name})

    def _parts(self, region: Region, test: SourceTest) -> Iterator[Region]:
        """The region without a condition, and with it."""
        if test.kind != IN:
            yield from _assumed_both_ways(region, test)
            return
        is_uplink = bool(self.clients.uplink) and test.names_device(self.clients.uplink)
        if is_uplink and region.client in self.clients.never_by_uplink:
            yield region
            return
        known = self.clients.interfaces is not None
        is_certain = (
            is_uplink
            and self.clients.is_uplink_certain
            and region.client is Client.OUTSIDE
            and not region.conditions
        )
        for part in (_by_interface if known else _assumed_both_ways)(region, test):
            is_new = part.conditions != region.conditions
            yield part._replace(is_certain=is_certain) if is_new else part


def _assumed_both_ways(region: Region, test: SourceTest) -> Iterator[Region]:
    yield region
    yield region._replace(conditions=region.conditions | {test.name})


def _by_interface(region: Region, test: SourceTest) -> Iterator[Region]:
    """The parts of a region that come in by one of the interfaces of a rule, and by others.

    The part that matches no rule's interface stays even if rules name all interfaces: it stands
    for clients that none of them concerns.
    """
    if region.client is Client.NODE or region.interfaces is None:
        # The node's own packets have no input interface.
        yield region
        return
    there = frozenset(filter(test.names_device, region.interfaces))
    left = region.interfaces - there
    if left or not region.conditions:
        yield region._replace(interfaces=left)
    if there:
        yield region._replace(interfaces=there, conditions=region.conditions | {test.name})


def _others(conditions: Iterable[str]) -> frozenset[str]:
    """The conditions on more than the interface."""
    return frozenset(each for each in conditions if not each.startswith(f"{IN} "))
