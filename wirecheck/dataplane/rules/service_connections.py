"""The question about a Service: what happens to the first packet to a frontend, for all clients."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any

from msgspec.structs import replace

from wirecheck.dataplane.clients import BITS
from wirecheck.dataplane.rules.chains import Chains, concerns
from wirecheck.dataplane.rules.dependencies import Consulted
from wirecheck.dataplane.rules.engine import Flows, OfPacket
from wirecheck.dataplane.rules.flows import apart, has_marks, marked_otherwise, with_own_mark
from wirecheck.dataplane.rules.sources import NeedsSplitError, Regions
from wirecheck.dataplane.rules.steps import (
    LOOPBACK,
    OUT,
    Jump,
    Packet,
    SetMark,
    SourceTest,
    Step,
)


class ServiceConnections(OfPacket):
    """New connections of all kinds of clients to one destination.

    The sources of a flow are a set of clients, see `sources.py`. Raises NeedsSplitError where a
    rule treats clients differently that `regions` takes for one; with `both_ways` these clients
    are followed as if they matched the rule, and as if they did not. With `past_accepts` packets
    go on behind third-party rules that accept them.
    """

    returning_apart = True

    def __init__(
        self,
        packet: Packet,
        regions: Regions,
        chains: Chains[Any],
        consulted: Consulted,
        *,
        both_ways: bool = False,
        past_accepts: bool = False,
    ) -> None:
        self.packet = packet
        self.concerns = partial(concerns, packet)
        self.regions = regions
        self.everybody = regions.all
        self._chains = chains
        self._consulted = consulted
        self._both_ways = both_ways
        self.past_accepts = past_accepts

    def split(self, step: Step, flows: Flows) -> tuple[Flows, Flows]:
        """The clients that match, and the others."""
        if not (step.sources or step.marks or step.recalls or step.probability != 1.0):
            return flows, []
        if step.own and (mark := self._mark_for_own(step)):
            # Splitting clients by the address of each backend would be quadratic.
            return [], [with_own_mark(flow, step.own, mark) for flow in flows]
        try:
            matched, others = self._split(step, flows)
        except NeedsSplitError:
            if self._is_idle(step):
                return [], flows
            if self._both_ways:
                return flows, flows
            raise
        if step.recalls and matched:
            # After a random choice it is too late: the client may have another backend already.
            too_late = (step.recalls[0], 0)
            recalled = [
                replace(flow, recalled=step.recalls if flow.weight == 1.0 else too_late)
                for flow in matched
            ]
            return recalled, flows
        return matched, others

    def _split(self, step: Step, flows: Flows) -> tuple[Flows, Flows]:
        mask = self.regions.all
        if step.sources:
            sources = self._without_way_out(step.sources)
            if sources is None:
                return [], flows
            mask = self.regions.matching(sources)
            self._consulted.tests.add(sources)
        if mask == self.regions.all and not step.marks and step.probability == 1.0:
            return flows, []
        matched, others = [], []
        for flow in self._with_known_marks(step, flows):
            hit = flow.sources & mask
            if not hit or not has_marks(flow, step.marks):
                others.append(flow)
                continue
            if flow.sources & ~mask:
                others.append(replace(flow, sources=flow.sources & ~mask))
            if step.probability == 1.0:
                matched.append(replace(flow, sources=hit))
            else:
                weight = flow.weight
                matched.append(replace(flow, sources=hit, weight=weight * step.probability))
                others.append(replace(flow, sources=hit, weight=weight * (1 - step.probability)))
        return matched, others

    def _without_way_out(self, sources: tuple[SourceTest, ...]) -> tuple[SourceTest, ...] | None:
        """The conditions, without those on the output device if the routes tell which one it is.

        None if the packet leaves by another device.
        """
        if not any(each.kind == OUT for each in sources) or not (device := self._way_out):
            return sources
        self._consulted.way_out = True
        if any(each.names_device(device) is each.negated for each in sources if each.kind == OUT):
            return None
        return tuple(each for each in sources if each.kind != OUT)

    @cached_property
    def _way_out(self) -> str:
        """The device of the route to the destination; empty if it is not known."""
        if self.packet.is_local:
            return LOOPBACK
        way_out = self.regions.clients.way_out
        return way_out(self.packet.address) if way_out else ""

    def _with_known_marks(self, step: Step, flows: Flows) -> Flows:
        """The flows, with own addresses apart where the step treats their marks differently."""
        if not step.marks:
            return flows
        found: Flows = []
        waiting = list(flows)
        while waiting:
            flow = waiting.pop()
            host = marked_otherwise(flow, step.marks)
            if not host:
                found.append(flow)
                continue
            test = SourceTest("network", f"{host}/{BITS[self.packet.family]}", negated=False)
            own = self.regions.matching((test,))
            self._consulted.tests.add((test,))
            waiting += apart(flow, host, own)
        return found

    def _is_idle(self, step: Step) -> bool:
        """Whether the step has no effect on this packet, so that its clients do not matter."""
        for action in step.actions:
            if not isinstance(action, Jump) or action.goto:
                return False
            chain = self._chains.find(action.chain)
            self._consulted.chains.add((self._chains.label, action.chain))
            if chain is None or chain.concerning(self.packet):
                return False
        return True

    def _mark_for_own(self, step: Step) -> SetMark | None:
        """The mark that a step sets, itself or in a chain that does nothing else.

        This is how connections of a backend to itself are masqueraded.
        """
        action = step.actions[0]
        if isinstance(action, Jump):
            chain = self._chains.find(action.chain)
            self._consulted.chains.add((self._chains.label, action.chain))
            return chain.only_mark if chain else None
        return action if isinstance(action, SetMark) else None
