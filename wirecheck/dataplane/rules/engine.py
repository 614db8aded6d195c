"""The rule engine: takes packets through chains of steps and collects how they end.

    engine = RuleEngine(question, chains)
    passing = engine.through("PREROUTING", [Flow(everybody)])
    engine.results

The engine carries a list of flows: sets of packets that were treated alike so far. A condition
may split a flow, a random choice divides its weight, and every end of a flow is a `Result`.
What differs between uses is a `Question`: which packets they are, and which steps match them.
The engine knows no chain by its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from msgspec.structs import replace

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.rules.chains import Chain, Chains
from wirecheck.dataplane.rules.dependencies import Consulted
from wirecheck.dataplane.rules.flows import Accepted, Flow, Result, merged, only_from, with_mark
from wirecheck.dataplane.rules.steps import (
    HERE,
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
    Step,
)
from wirecheck.dataplane.table import RuleText, Verdict

LOOPBACK_ADDRESSES = {4: "127.0.0.1", 6: "::1"}
"""Represent all addresses of the node, by family."""

MOST_JUMPS = 64
"""Deeper than the kernel allows rule sets to be: a loop."""

MOST_FLOWS = 4_096
"""So many flows at once are made by no firewall, only by rules that double them."""

Flows = list[Flow]
Shared = dict[tuple[str, str], tuple[list[Result], Flows, Flows]]
"""Results, remaining and accepted flows of a chain for all packets, by table and name."""


class Question(ABC):
    """Which packets are followed, and what each step means for them."""

    skips_unrecognised: ClassVar[bool] = False
    """Whether packets continue after an unrecognised action."""
    returning_apart: ClassVar[bool] = False
    """Whether clients that a step recalls are followed in addition to all others."""
    past_accepts: bool = False
    """Whether packets continue after a third-party rule that accepts them."""
    packet: Packet | None = None
    """The destination of the packets; None if they have several or unknown ones."""
    everybody: int = 1
    """The sources of a flow that holds all packets."""
    concerns: Callable[[Step], bool]
    """Whether a step may match any of the packets."""

    @abstractmethod
    def split(self, step: Step, flows: Flows) -> tuple[Flows, Flows]:
        """The flows that match the step, and those that may not match it."""

    def look_up(self, _: Lookup) -> Action | None:
        """The action that a map has for the packets; None where it has no entry for them."""
        return None

    def destination_of(self, action: Dnat) -> Backend:
        """The destination of a translated packet."""
        return Backend(action.address, action.port)


class OfPacket(Question):
    """A question about packets to one destination."""

    packet: Packet

    def look_up(self, lookup: Lookup) -> Action | None:
        """The action for this destination."""
        return lookup.actions.get(lookup.key(self.packet))

    def destination_of(self, action: Dnat) -> Backend:
        """Without an address or port, the packet keeps its own."""
        address = action.address or self.packet.address
        if address == HERE:
            # REDIRECT: 127.0.0.1 for the node's own packets, else the address of the device.
            address = LOOPBACK_ADDRESSES[self.packet.family]
        return Backend(address, action.port or self.packet.port)


class RuleEngine:
    """Follows the packets of one question through the chains of one table.

    `shared` keeps what chains called from base chains do with all packets: the same chain is
    called from several hooks, each for the packets with the sources `everybody`.
    """

    def __init__(
        self,
        question: Question,
        chains: Chains[Any],
        consulted: Consulted | None = None,
        *,
        shared: Shared | None = None,
        everybody: int = 0,
    ) -> None:
        self.question = question
        self.chains = chains
        self.consulted = Consulted() if consulted is None else consulted
        self.results: list[Result] = []
        self.accepted: Flows = []
        """The flows that rules accepted."""
        self.is_masqueraded = False
        """Whether a rule gave any of the packets the node's source address."""
        self.masqueraded_by: tuple[RuleText, ...] = ()
        """The path to the last of these rules from the base chain on, and the rule itself."""
        self.masqueraded_in = ""
        """The chain of this rule."""
        self.left_by: RuleText | None = None
        """The rule by which packets last left a base chain before its end."""
        self.ended_in = ""
        """The chain that the last result is from."""
        self._shared = shared
        self._everybody = everybody
        self._chain = ""
        self._path: list[Step] = []
        """The rules that called the current chain; the first is in the base chain."""

    def through(self, base_chain: str, flows: Flows) -> Flows:
        """The flows that come out of a base chain, neither diverted nor refused.

        Results may contain more sources than the flows have: the caller knows what it sent.
        """
        return merged(self.to_end_of(base_chain, flows) + self.accepted)

    def to_end_of(self, base_chain: str, flows: Flows) -> Flows:
        """The flows that no rule of a base chain accepted, diverted or refused."""
        self.accepted = []
        chain = self.chains.find(base_chain)
        if chain is None:
            self.consulted.chains.add((self.chains.label, base_chain))
        return flows if chain is None else self._walk(chain, flows)

    def _walk(self, chain: Chain, flows: Flows) -> Flows:
        returned: Flows = []
        self.consulted.chains.add((self.chains.label, chain.name))
        caller, self._chain = self._chain, chain.name
        question = self.question
        concerns = question.concerns
        for step in chain.candidates(question.packet):
            if concerns(step):
                flows = self._take(step, flows, returned)
                if not flows:
                    break
        self._chain = caller
        return returned + flows if returned else flows

    def _take(self, step: Step, flows: Flows, returned: Flows) -> Flows:
        """The flows that continue to the next step of the chain."""
        matched, others = self.question.split(step, flows)
        if not matched:
            return others
        if step.recalls and self.question.returning_apart:
            self._act(step, matched, [])
            return others
        remaining = self._act(step, matched, returned)
        if not others:
            return remaining
        if not remaining:
            return others
        flows = merged(others + remaining)
        if len(flows) > MOST_FLOWS:
            reason = "its rules make too many distinctions"
            self._end(step, flows, Verdict.NOT_UNDERSTOOD, reason=reason)
            return []
        return flows

    def _act(self, step: Step, flows: Flows, returned: Flows) -> Flows:
        """The flows that the actions of a step leave to the next step."""
        for action in step.actions:
            flows = _ACTIONS[type(action)](self, step, action, flows, returned)
            if not flows:
                break
        return flows

    def _jump(self, step: Step, action: Jump, flows: Flows, returned: Flows) -> Flows:
        chain = self.chains.find(action.chain)
        if chain is None:
            self.consulted.chains.add((self.chains.label, action.chain))
            why = f"chain {action.chain} does not exist"
            return self._unrecognised(step, flows, why)
        if len(self._path) > MOST_JUMPS:
            self._end(step, flows, Verdict.NOT_UNDERSTOOD, reason="its chains form a loop")
            return []
        ended = self._call(step, chain, flows)
        if not action.goto:
            return ended
        if not self._path and ended:
            (self.left_by,) = self.chains.named((step.rule,))
        returned += ended
        return []

    def _call(self, step: Step, chain: Chain, flows: Flows) -> Flows:
        """The flows that come back from a chain."""
        if self._shared is not None and not self._path and flows == [Flow(self._everybody)]:
            return self._call_for_all(step, chain, self._shared)
        self._path.append(step)
        flows = self._walk(chain, flows)
        self._path.pop()
        return flows

    def _call_for_all(self, step: Step, chain: Chain, shared: Shared) -> Flows:
        """Follow all packets through a chain once, for all hooks that call it."""
        key = (self.chains.label, chain.name)
        if key not in shared:
            everybody = self.question.everybody
            inner = RuleEngine(
                self.question, self.chains, self.consulted, shared=shared, everybody=everybody
            )
            inner._path.append(step)
            ended = inner._walk(chain, [Flow(everybody)])
            shared[key] = (inner.results, ended, inner.accepted)
        results, ended, accepted = shared[key]
        self.results += results
        hook = self.chains.named((step.rule,))
        self.accepted += [_called_from(hook, each) for each in only_from(accepted, self._everybody)]
        return only_from(ended, self._everybody)

    def _set_mark(self, _: Step, action: SetMark, flows: Flows, __: Flows) -> Flows:
        return [with_mark(flow, action) for flow in flows]

    def _remember(self, _: Step, action: Remember, flows: Flows, __: Flows) -> Flows:
        return [replace(f, remembered=action.name) for f in flows]

    def _translate(self, step: Step, action: Dnat, flows: Flows, _: Flows) -> Flows:
        self._end(step, flows, Verdict.FORWARD, self.question.destination_of(action))
        return []

    def _finish(self, step: Step, action: End, flows: Flows, _: Flows) -> Flows:
        if action.verdict is Verdict.NOTHING:
            flows = self._accepted_by(step, flows)
            if self.question.past_accepts and self.chains.is_third_party(self._chain):
                return flows
            self.accepted += flows
        else:
            self._end(step, flows, action.verdict)
        return []

    def _accepted_by(self, step: Step, flows: Flows) -> Flows:
        rules = self.chains.named((*(each.rule for each in self._path), step.rule))
        by = Accepted(rules, bool(step.marks), self.chains.is_third_party(self._chain))
        return [replace(each, accepted=(*each.accepted, by)) for each in flows]

    def _masquerade(self, step: Step, _: Source, flows: Flows, __: Flows) -> Flows:
        self.is_masqueraded = True
        self.masqueraded_in = self._chain
        self.masqueraded_by = self.chains.named((*(e.rule for e in self._path), step.rule))
        self.accepted += flows
        return []

    def _return(self, step: Step, _: Return, flows: Flows, returned: Flows) -> Flows:
        if not self._path:
            (self.left_by,) = self.chains.named((step.rule,))
            # In a base chain it accepts, as long as the chain's policy does.
            flows = self._accepted_by(step, flows)
            if self.question.past_accepts and self.chains.is_third_party(self._chain):
                return flows
        returned += flows
        return []

    def _give_up(self, step: Step, action: Opaque, flows: Flows, _: Flows) -> Flows:
        return self._unrecognised(step, flows, action.text)

    def _unrecognised(self, step: Step, flows: Flows, reason: str) -> Flows:
        if self.question.skips_unrecognised:
            return flows
        self._end(step, flows, Verdict.NOT_UNDERSTOOD, reason=reason)
        return []

    def _look_up(self, step: Step, action: Lookup, flows: Flows, returned: Flows) -> Flows:
        found = self.question.look_up(action)
        if found is None:
            return flows
        return _ACTIONS[type(found)](self, step, found, flows, returned)

    def _choose(self, step: Step, action: Choose, flows: Flows, returned: Flows) -> Flows:
        left = []
        shares = action.shares or _even(len(action.actions))
        for each, share in zip(action.actions, shares, strict=True):
            lighter = [replace(f, weight=f.weight * share) for f in flows]
            left += _ACTIONS[type(each)](self, step, each, lighter, returned)
        return merged(left)

    def _end(
        self,
        step: Step,
        flows: Flows,
        verdict: Verdict,
        backend: Backend | None = None,
        reason: str = "",
    ) -> None:
        path = self._path
        third_party = self.chains.is_third_party(self._chain)
        # The first rule of the path is the hook, which is the same for all frontends.
        rules = self.chains.named((*(each.rule for each in path[1:]), step.rule))
        by_source = third_party and any(e.sources or e.marks for e in (*path, step))
        self.ended_in = self._chain
        for flow in flows:
            name = step.remembers or flow.remembered
            result = Result(flow, verdict, backend, name, reason, rules, third_party, by_source)
            self.results.append(result)


def _called_from(hook: tuple[RuleText, ...], flow: Flow) -> Flow:
    """The same flow, accepted in a chain that another base chain calls by this rule."""
    if not flow.accepted:
        return flow  # It was masqueraded, for which no rule is kept.
    *before, by = flow.accepted
    return replace(flow, accepted=(*before, by._replace(rules=(*hook, *by.rules[1:]))))


def _even(number: int) -> tuple[float, ...]:
    return (1 / number,) * number


_ACTIONS: dict[type[Action], Callable[[RuleEngine, Step, Any, Flows, Flows], Flows]] = {
    Jump: RuleEngine._jump,
    SetMark: RuleEngine._set_mark,
    Remember: RuleEngine._remember,
    Dnat: RuleEngine._translate,
    End: RuleEngine._finish,
    Source: RuleEngine._masquerade,
    Return: RuleEngine._return,
    Opaque: RuleEngine._give_up,
    Lookup: RuleEngine._look_up,
    Choose: RuleEngine._choose,
}
"""The method for each action. It handles the flows that match the step, and returns those that
continue to the next action."""
