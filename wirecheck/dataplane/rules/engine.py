"""Takes the first packet of a connection through chains of steps, for all its clients at once.

What is carried along is a list of flows: sets of clients that have met the same fate so far.
A condition on the source splits a flow, a random choice divides its weight, and every end
that a flow comes to is a `Result`. Nothing here knows the name of any chain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from wirecheck.dataplane.rules.chains import Chain, Chains, concerns
from wirecheck.dataplane.rules.flows import (
    Flow,
    Result,
    has_marks,
    merged,
    only_from,
    with_own_mark,
)
from wirecheck.dataplane.rules.post_dnat import Onward
from wirecheck.dataplane.rules.sources import NeedsSplitError, Regions
from wirecheck.dataplane.rules.steps import (
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
        """The flows that the actions of a step leave to what follows."""
        for action in step.actions:
            flows = _ACTIONS[type(action)](self, step, action, flows, returned)
            if not flows:
                break
        return flows

    def _jump(
        self, step: Step, action: Jump, flows: list[Flow], returned: list[Flow]
    ) -> list[Flow]:
        chain = self.chains.find(action.chain)
        if chain is None or len(self._path) > MOST_JUMPS:
            self.trace.met.add((self.chains.label, action.chain))
            is_loop = chain is not None
            why = "its chains form a loop" if is_loop else f"chain {action.chain} does not exist"
            self._end(step, flows, Verdict.NOT_UNDERSTOOD, reason=why)
            return []
        ended = self._call(step, chain, flows)
        if not action.goto:
            return ended
        returned += ended
        return []

    def _call(self, step: Step, chain: Chain, flows: list[Flow]) -> list[Flow]:
        """The flows that come back from a chain."""
        if not self._path and flows == [Flow(self._everybody)]:
            return self._call_for_all(step, chain)
        self._path.append(step.told)
        flows = self._walk(chain, flows)
        self._path.pop()
        return flows

    def _call_for_all(self, step: Step, chain: Chain) -> list[Flow]:
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

    def _set_mark(self, _: Step, action: SetMark, flows: list[Flow], __: list[Flow]) -> list[Flow]:
        return [replace(f, mark=(f.mark & ~action.clear) ^ action.flip) for f in flows]

    def _remember(self, _: Step, action: Remember, flows: list[Flow], __: list[Flow]) -> list[Flow]:
        return [replace(f, remembered=action.name) for f in flows]

    def _translate(self, step: Step, action: Dnat, flows: list[Flow], _: list[Flow]) -> list[Flow]:
        backend = Backend(action.address or self.packet.address, action.port or self.packet.port)
        self._end(step, flows, Verdict.FORWARD, backend)
        return []

    def _finish(self, step: Step, action: End, flows: list[Flow], _: list[Flow]) -> list[Flow]:
        if action.verdict is Verdict.NOTHING:
            self._accepted += flows
        else:
            self._end(step, flows, action.verdict)
        return []

    def _accept(self, _: Step, __: Source, flows: list[Flow], ___: list[Flow]) -> list[Flow]:
        self._accepted += flows
        return []

    def _return(self, _: Step, __: Return, flows: list[Flow], returned: list[Flow]) -> list[Flow]:
        returned += flows
        return []

    def _give_up(self, step: Step, action: Opaque, flows: list[Flow], _: list[Flow]) -> list[Flow]:
        self._end(step, flows, Verdict.NOT_UNDERSTOOD, reason=action.text)
        return []

    def _look_up(
        self, step: Step, action: Lookup, flows: list[Flow], returned: list[Flow]
    ) -> list[Flow]:
        found = action.actions.get(action.key(self.packet))
        if found is None:
            return flows
        return _ACTIONS[type(found)](self, step, found, flows, returned)

    def _choose(
        self, step: Step, action: Choose, flows: list[Flow], returned: list[Flow]
    ) -> list[Flow]:
        left = []
        shares = action.shares or _even(len(action.actions))
        for each, share in zip(action.actions, shares, strict=True):
            lighter = [replace(f, weight=f.weight * share) for f in flows]
            left += _ACTIONS[type(each)](self, step, each, lighter, returned)
        return merged(left)

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


_ACTIONS: dict[type[Action], Callable[[Walk, Step, Any, list[Flow], list[Flow]], list[Flow]]] = {
    Jump: Walk._jump,
    SetMark: Walk._set_mark,
    Remember: Walk._remember,
    Dnat: Walk._translate,
    End: Walk._finish,
    Source: Walk._accept,
    Return: Walk._return,
    Opaque: Walk._give_up,
    Lookup: Walk._look_up,
    Choose: Walk._choose,
}
"""What each action does with the flows that meet it, and which of them go on to the next."""
