"""Takes the first packet of a connection through chains of steps, for all its clients at once.

What is carried along is a list of flows: sets of clients that have met the same fate so far.
A condition on the source splits a flow, a random choice divides its weight, and every end
that a flow comes to is a `Result`. Nothing here knows the name of any chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from wirecheck.dataplane.afterwards import Onward
from wirecheck.dataplane.chains import Chain, Chains, concerns
from wirecheck.dataplane.flows import Flow, Result, has_marks, merged, only_from, with_own_mark
from wirecheck.dataplane.sources import NeedsSplitError, Regions
from wirecheck.dataplane.steps import (
    Action,
    Choose,
    Dnat,
    End,
    Jump,
    Lookup,
    Opaque,
    Packet,
    Remember,
    Return,
    SetMark,
    Source,
    SourceTest,
    Step,
)
from wirecheck.dataplane.table import Backend, Told, Verdict

MOST_JUMPS = 64
"""Deeper than the kernel allows rule sets to be: a loop."""


@dataclass(slots=True)
class Trace:
    """What the outcome of a walk rests on: the same again gives the same results."""

    met: set[tuple[str, str]] = field(default_factory=set)
    """Chains, or names that no chain has: label of the table, and name."""
    tests: set[tuple[SourceTest, ...]] = field(default_factory=set)
    """Conditions on the source that were asked for."""
    onward: dict[Onward, Told | None] = field(default_factory=dict)
    """What was asked about connections that are translated, with the answer."""


Shared = dict[tuple[str, str], tuple[list[Result], list[Flow], list[Flow]]]


class Walk:
    """One packet on its way through one stage; collects `results`.

    `shared` keeps what chains that base chains call do with all clients: the same chain is
    called from several hooks, each with `everybody` that passes it.
    """

    def __init__(
        self,
        packet: Packet,
        regions: Regions,
        chains: Chains[Any],
        trace: Trace,
        *,
        shared: Shared,
        everybody: int,
    ) -> None:
        self.packet = packet
        self.regions = regions
        self.chains = chains
        self.trace = trace
        self.shared = shared
        self.results: list[Result] = []
        self._everybody = everybody
        self._accepted: list[Flow] = []
        self._path: list[Told] = []

    def through(self, base_chain: str, flows: list[Flow]) -> list[Flow]:
        """The flows that come out of a base chain, neither diverted nor refused.

        Results may be about more clients than the flows are: the caller knows whom it sent.
        """
        chain = self.chains.find(base_chain)
        if chain is None:
            self.trace.met.add((self.chains.label, base_chain))
            return flows
        self._accepted = []
        return merged(self._walk(chain, flows) + self._accepted)

    def _walk(self, chain: Chain, flows: list[Flow]) -> list[Flow]:
        returned: list[Flow] = []
        self.trace.met.add((self.chains.label, chain.name))
        for step in chain.candidates(self.packet):
            if concerns(step, self.packet):
                flows = self._take(step, flows, returned)
                if not flows:
                    break
        return returned + flows if returned else flows

    def _take(self, step: Step, flows: list[Flow], returned: list[Flow]) -> list[Flow]:
        """The flows that go on to the next step of the chain."""
        if step.own and (mark := self._mark_for_own(step)):
            # Splitting clients by the address of each backend would make the walk quadratic.
            return [with_own_mark(flow, step.own, mark) for flow in flows]
        try:
            matched, others = self._split(step, flows)
        except NeedsSplitError:
            if self._is_idle(step):
                return flows
            raise
        if not matched:
            return flows
        if step.recalls:
            # Behind a random choice it is too late: it may have sent the client elsewhere.
            too_late = (step.recalls[0], 0)
            recalled = [
                replace(flow, recalled=step.recalls if flow.weight == 1.0 else too_late)
                for flow in matched
            ]
            self._act(step, recalled, [])
            return flows
        remaining = self._act(step, matched, returned)
        if not others:
            return remaining
        return merged(others + remaining) if remaining else others

    def _is_idle(self, step: Step) -> bool:
        """Whether the step leads nowhere for this packet, so that its clients do not matter."""
        for action in step.actions:
            if not isinstance(action, Jump) or action.goto:
                return False
            chain = self.chains.find(action.chain)
            self.trace.met.add((self.chains.label, action.chain))
            if chain is None or chain.concerning(self.packet):
                return False
        return True

    def _mark_for_own(self, step: Step) -> SetMark | None:
        """The mark that a step sets, itself or in the chain that it calls for nothing else.

        That is how connections of a backend to itself are masqueraded.
        """
        action = step.actions[0]
        if isinstance(action, Jump):
            chain = self.chains.find(action.chain)
            self.trace.met.add((self.chains.label, action.chain))
            return chain.only_mark if chain else None
        return action if isinstance(action, SetMark) else None

    def _split(self, step: Step, flows: list[Flow]) -> tuple[list[Flow], list[Flow]]:
        """What matches the step, and what does not."""
        mask = self.regions.all
        if step.sources:
            mask = self.regions.matching(step.sources)
            self.trace.tests.add(step.sources)
        if mask == self.regions.all and not step.marks and step.probability == 1.0:
            return flows, []
        matched, others = [], []
        for flow in flows:
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

    def _act(self, step: Step, flows: list[Flow], returned: list[Flow]) -> list[Flow]:
        for action in step.actions:
            flows = self._do(step, action, flows, returned)
            if not flows:
                break
        return flows

    def _do(
        self, step: Step, action: Action, flows: list[Flow], returned: list[Flow]
    ) -> list[Flow]:
        """The flows that an action leaves to what follows."""
        match action:
            case Jump(name, goto):
                ended = self._jump(step, name, flows)
                if not goto:
                    return ended
                returned += ended
            case SetMark(clear, flip):
                return [replace(f, mark=(f.mark & ~clear) ^ flip) for f in flows]
            case Remember(name):
                return [replace(f, remembered=name) for f in flows]
            case Dnat(address, port):
                backend = Backend(address or self.packet.address, port or self.packet.port)
                self._end(step, flows, Verdict.FORWARD, backend)
            case Return():
                returned += flows
            case End(Verdict.NOTHING) | Source():
                self._accepted += flows
            case End(verdict):
                self._end(step, flows, verdict)
            case Opaque(text):
                self._end(step, flows, Verdict.NOT_UNDERSTOOD, reason=text)
            case Lookup(key, actions):
                found = actions.get(key(self.packet))
                return flows if found is None else self._do(step, found, flows, returned)
            case Choose(choices, shares):
                left = []
                for each, share in zip(choices, shares or _even(len(choices)), strict=True):
                    lighter = [replace(f, weight=f.weight * share) for f in flows]
                    left += self._do(step, each, lighter, returned)
                return merged(left)
        return []

    def _jump(self, step: Step, name: str, flows: list[Flow]) -> list[Flow]:
        chain = self.chains.find(name)
        if chain is None or len(self._path) > MOST_JUMPS:
            self.trace.met.add((self.chains.label, name))
            why = f"chain {name} does not exist" if chain is None else "its chains form a loop"
            self._end(step, flows, Verdict.NOT_UNDERSTOOD, reason=why)
            return []
        if not self._path and flows == [Flow(self._everybody)]:
            return self._jump_for_all(step, chain)
        self._path.append(step.told)
        flows = self._walk(chain, flows)
        self._path.pop()
        return flows

    def _jump_for_all(self, step: Step, chain: Chain) -> list[Flow]:
        """Walk a chain once for all clients, whichever hooks it is called from."""
        key = (self.chains.label, chain.name)
        if key not in self.shared:
            everybody = self.regions.all
            inner = Walk(
                self.packet,
                self.regions,
                self.chains,
                self.trace,
                shared=self.shared,
                everybody=everybody,
            )
            inner._path.append(step.told)
            ended = inner._walk(chain, [Flow(everybody)])
            self.shared[key] = (inner.results, ended, inner._accepted)
        results, ended, accepted = self.shared[key]
        self.results += results
        self._accepted += only_from(accepted, self._everybody)
        return only_from(ended, self._everybody)

    def _end(
        self,
        step: Step,
        flows: list[Flow],
        verdict: Verdict,
        backend: Backend | None = None,
        reason: str = "",
    ) -> None:
        # The first rule of the path is the hook, which is the same for all frontends.
        rules = (*self._path[1:], step.told)
        for flow in flows:
            name = step.remembers or flow.remembered
            self.results.append(Result(flow, verdict, backend, name, reason, rules))


def _even(number: int) -> tuple[float, ...]:
    return (1 / number,) * number
