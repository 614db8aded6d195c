"""Takes the first packet of a connection through chains of steps, for all its clients at once.

What is carried along is a list of flows: sets of clients that have met the same fate so far.
A condition on the source splits a flow, a random choice divides its weight, and every end
that a flow comes to is a `Result`. Nothing here knows the name of any chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from wirecheck.dataplane.sources import Regions
from wirecheck.dataplane.steps import (
    Action,
    Choose,
    Dnat,
    End,
    Jump,
    Lookup,
    MarkTest,
    Opaque,
    Packet,
    Return,
    SetMark,
    Source,
    Step,
)
from wirecheck.dataplane.table import Backend, Verdict

MOST_JUMPS = 64
"""Deeper than the kernel allows rule sets to be: a loop."""


class Flow(NamedTuple):
    """Clients that have met the same fate so far."""

    sources: int
    mark: int = 0
    weight: float = 1.0
    recalled: tuple[str, int] | None = None
    """Returning clients only, remembered under this name for so many seconds."""
    own_marks: frozenset[tuple[str, int]] = frozenset()
    """The mark that the packet has instead if it comes from this very address."""


class Result(NamedTuple):
    """How a flow ended."""

    flow: Flow
    verdict: Verdict
    backend: Backend | None = None
    remembers: str = ""
    reason: str = ""
    rules: tuple[str, ...] = ()


class Chain:
    """Steps of one chain, found by the destination that they are about.

    Chains with a rule for every Service have 10,000 of them, of which one packet can meet
    only those for its address or its port, and those that name neither.
    """

    SMALL = 8

    def __init__(self, name: str, steps: Sequence[Step]) -> None:
        self.name = name
        self.steps = steps
        self.only_mark = _only_mark(steps)
        self._by_host: dict[str, list[tuple[int, Step]]] = {}
        self._by_port: dict[int, list[tuple[int, Step]]] = {}
        self._others: list[tuple[int, Step]] = []
        if len(steps) > self.SMALL:
            for position, step in enumerate(steps):
                self._place(position, step)

    def _place(self, position: int, step: Step) -> None:
        if step.host:
            self._by_host.setdefault(step.host, []).append((position, step))
        elif step.port:
            self._by_port.setdefault(step.port, []).append((position, step))
        else:
            self._others.append((position, step))

    def candidates(self, packet: Packet) -> Iterable[Step]:
        """The steps that the packet may match, in their order."""
        if len(self.steps) <= self.SMALL:
            return self.steps
        found = [
            *self._by_host.get(packet.address, ()),
            *self._by_port.get(packet.port, ()),
            *self._others,
        ]
        found.sort(key=_position)
        return [step for _, step in found]


def _position(placed: tuple[int, Step]) -> int:
    return placed[0]


def _only_mark(steps: Sequence[Step]) -> SetMark | None:
    """The mark that a chain sets, if it does that and nothing else for every packet."""
    if len(steps) != 1 or len(steps[0].actions) != 1:
        return None
    step = steps[0]
    is_conditional = step.never or step.protocol or step.host or step.port or step.tests
    if is_conditional or step.sources or step.marks or step.probability < 1 or step.recalls:
        return None
    action = step.actions[0]
    return action if isinstance(action, SetMark) else None


class Walk:
    """One packet on its way; collects `results` over all the base chains it is taken through."""

    def __init__(
        self, packet: Packet, regions: Regions, find_chain: Callable[[str], Chain | None]
    ) -> None:
        self.packet = packet
        self.regions = regions
        self.find_chain = find_chain
        self.results: list[Result] = []
        self._accepted: list[Flow] = []
        self._path: list[str] = []

    def through(self, base_chain: str, flows: list[Flow]) -> list[Flow]:
        """The flows that come out of a base chain, neither diverted nor refused."""
        chain = self.find_chain(base_chain)
        if chain is None:
            return flows
        self._accepted = []
        return _merged(self._walk(chain, flows) + self._accepted)

    def _walk(self, chain: Chain, flows: list[Flow]) -> list[Flow]:
        returned: list[Flow] = []
        for step in chain.candidates(self.packet):
            if self._concerns(step):
                flows = self._take(step, flows, returned)
                if not flows:
                    break
        return returned + flows if returned else flows

    def _concerns(self, step: Step) -> bool:
        """Whether the step's conditions on the packet hold, whoever sends it."""
        packet = self.packet
        return not (
            step.never
            or (step.host and step.host != packet.address)
            or (step.port and step.port != packet.port)
            or (step.protocol and step.protocol != packet.protocol)
            or (step.tests and not all(test(packet) for test in step.tests))
        )

    def _take(self, step: Step, flows: list[Flow], returned: list[Flow]) -> list[Flow]:
        """The flows that go on to the next step of the chain."""
        if step.sources and self._is_idle(step):
            return flows
        own_mark = self._mark_for_own(step)
        if own_mark:
            return [_with_own_mark(flow, *own_mark) for flow in flows]
        matched, others = self._split(step, flows)
        if not matched:
            return flows
        if step.recalls:
            self._act(step, [flow._replace(recalled=step.recalls) for flow in matched], [])
            return flows
        remaining = self._act(step, matched, returned)
        if not others:
            return remaining
        return _merged(others + remaining) if remaining else others

    def _is_idle(self, step: Step) -> bool:
        """Whether the step leads nowhere for this packet, so that its clients do not matter."""
        for action in step.actions:
            if not isinstance(action, Jump) or action.goto:
                return False
            chain = self.find_chain(action.chain)
            if chain is None or any(map(self._concerns, chain.candidates(self.packet))):
                return False
        return True

    def _mark_for_own(self, step: Step) -> tuple[str, SetMark] | None:
        """The address and the mark, where a step marks what comes from one single address.

        That is how connections of a backend to itself are masqueraded. Splitting clients by
        each backend's address would make the walk quadratic.
        """
        if len(step.sources) != 1 or len(step.actions) != 1 or step.marks or step.recalls:
            return None
        test, action = step.sources[0], step.actions[0]
        if test.kind != "network" or test.negated or not test.value.endswith(("/32", "/128")):
            return None
        if isinstance(action, Jump):
            chain = self.find_chain(action.chain)
            action = chain.only_mark if chain and chain.only_mark else action
        host = test.value.partition("/")[0]
        return (host, action) if isinstance(action, SetMark) else None

    def _split(self, step: Step, flows: list[Flow]) -> tuple[list[Flow], list[Flow]]:
        """What matches the step, and what does not."""
        mask = self.regions.matching(step.sources)
        if mask == self.regions.all and not step.marks and step.probability == 1.0:
            return flows, []
        matched, others = [], []
        for flow in flows:
            hit = flow.sources & mask
            if not hit or not has_marks(flow, step.marks):
                others.append(flow)
                continue
            if flow.sources & ~mask:
                others.append(flow._replace(sources=flow.sources & ~mask))
            if step.probability == 1.0:
                matched.append(flow._replace(sources=hit))
            else:
                weight = flow.weight
                matched.append(flow._replace(sources=hit, weight=weight * step.probability))
                others.append(flow._replace(sources=hit, weight=weight * (1 - step.probability)))
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
                return [f._replace(mark=(f.mark & ~clear) ^ flip) for f in flows]
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
            case Choose(choices):
                lighter = [f._replace(weight=f.weight / len(choices)) for f in flows]
                return _merged(
                    [f for each in choices for f in self._do(step, each, lighter, returned)]
                )
        return []

    def _jump(self, step: Step, name: str, flows: list[Flow]) -> list[Flow]:
        chain = self.find_chain(name)
        if chain is None or len(self._path) > MOST_JUMPS:
            why = f"chain {name} does not exist" if chain is None else "its chains form a loop"
            self._end(step, flows, Verdict.NOT_UNDERSTOOD, reason=why)
            return []
        self._path.append(step.text)
        flows = self._walk(chain, flows)
        self._path.pop()
        return flows

    def _end(
        self,
        step: Step,
        flows: list[Flow],
        verdict: Verdict,
        backend: Backend | None = None,
        reason: str = "",
    ) -> None:
        # The first rule of the path is the hook, which is the same for all frontends.
        rules = (*self._path[1:], step.text)
        for flow in flows:
            self.results.append(Result(flow, verdict, backend, step.remembers, reason, rules))


def has_marks(flow: Flow, tests: tuple[MarkTest, ...]) -> bool:
    """Whether all tests hold for the mark of the flow."""
    return all((flow.mark & mask == value) is not negated for value, mask, negated in tests)


def _with_own_mark(flow: Flow, host: str, action: SetMark) -> Flow:
    mark = (flow.mark & ~action.clear) ^ action.flip
    return flow._replace(own_marks=flow.own_marks | {(host, mark)})


def _merged(flows: list[Flow]) -> list[Flow]:
    """The same with flows of equal fate joined."""
    if len(flows) < 2:
        return flows
    joined: dict[tuple[object, ...], Flow] = {}
    for flow in flows:
        fate = flow[1:]
        other = joined.get(fate)
        joined[fate] = flow._replace(sources=flow.sources | other.sources) if other else flow
    return list(joined.values())
