"""Sets of clients as bit masks, refined only where a rule distinguishes clients of one kind.

The engine follows all kinds of clients at once; the set of those that match a rule is one
integer, at first with one bit for each kind. If a rule's range cuts through a kind, or a rule has
an unrecognised condition, `NeedsSplitError` names the condition. The engine then starts
again with that kind in two parts, so that only the few frontends with such rules pay for them.
"""

from __future__ import annotations

from typing import NamedTuple

from wirecheck.addresses import network
from wirecheck.dataplane.clients import Clients, Intervals, difference, intersection, intervals
from wirecheck.dataplane.rules.steps import SourceTest
from wirecheck.dataplane.table import Client

MOST_REGIONS = 512
"""If a frontend's rules split clients into more regions, the frontend is inconclusive."""


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
    """The unrecognised conditions that they are assumed to match."""


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

    @classmethod
    def of(cls, family: int, clients: Clients) -> Regions:
        """One region for each kind of client."""
        regions = tuple(
            Region(client, spans, frozenset()) for client, spans in clients.of(family).items()
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
        elif test.kind == "interface" and self._is_known(test.value):
            own = test.value in (self.clients.local_interface, self.clients.local_interface + "+")
            mask = self.by_client.get(Client.POD, 0) if own else 0
        elif test.kind == "interface" and self._is_unused(test.value):
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
        return interface == "lo" or (bool(own) and interface in (own, own + "+"))

    def _is_unused(self, interface: str) -> bool:
        """Whether no client comes in there: docker0, or a device that the node does not have."""
        known = self.clients.interfaces
        return known is not None and not interface.endswith("+") and interface not in known

    def _assumed(self, test: SourceTest) -> int:
        name = test.name
        if name not in self.conditions:
            raise NeedsSplitError(test)
        mask = sum(1 << bit for bit, each in enumerate(self.regions) if name in each.conditions)
        # The node's own packets have no input interface.
        return mask & ~self.by_client.get(Client.NODE, 0) if test.kind == "interface" else mask

    def split(self, test: SourceTest) -> Regions:
        """The same clients in finer regions, in which `test` has an answer."""
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
        name = test.name
        assumed = tuple(
            region._replace(conditions=conditions)
            for region in self.regions
            for conditions in (region.conditions, region.conditions | {name})
        )
        return Regions(self.family, self.clients, assumed, self.conditions | {name})
