"""Rules that refuse connections which are translated already, whoever they are for.

Filtering after DNAT is a matter of policies, which are no Service's; but in chains of
Kubernetes there are none. What refuses there all connections, all answers, or all that carry
the mark of those to be masqueraded, refuses Services: one rule before the others is enough.
Only what is refused for certain counts: once a rule may have let some packets pass, nothing
is said any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple

from wirecheck.dataplane.rules.chains import Chain
from wirecheck.dataplane.rules.flows import Flow, has_marks
from wirecheck.dataplane.rules.steps import Action, End, Jump, Lookup, Return, SetMark, Step
from wirecheck.dataplane.table import Told, Verdict

DEEPEST = 16

FindChain = Callable[[str], Chain | None]


class Onward(NamedTuple):
    """How a connection goes on that was translated."""

    is_nodes: bool
    """Whether the node itself has sent it."""
    stage: int
    """Where it was translated: the number of the stage on its way."""
    mark: int
    is_local: bool
    """Whether the backend's address is one of the node's own."""


class _Way(Enum):
    """How a walk through a chain ends, where nothing is refused."""

    PASSED = "it may be accepted, or nobody knows"
    RETURNED = "it comes back to the chain that called"


class _Packets:
    """Packets of a connection with a mark: its first one, or all later ones of both ways."""

    def __init__(self, find_chain: FindChain, mark: int, *, is_first: bool, prefix: str) -> None:
        self.find_chain = find_chain
        self.prefix = prefix
        self.mark = mark
        self.is_first = is_first

    def through(self, name: str, depth: int = 0) -> Told | _Way:
        """The rule that refuses them in a chain, or how they leave it."""
        chain = self.find_chain(name)
        if chain is None or depth > DEEPEST:
            return _Way.PASSED
        for step in chain.steps:
            matches = self._matches(step)
            if matches is False:
                continue
            if matches is None:
                if self._only_refuses(step.actions, depth):
                    continue
                return _Way.PASSED
            end = self._meet(step, depth)
            if end is not None:
                is_policy = end is step.told and not name.startswith(self.prefix)
                return _Way.PASSED if is_policy else end
        return _Way.RETURNED

    def _matches(self, step: Step) -> bool | None:
        """Whether the step is about all of them; None where about some, or nobody knows."""
        if not (step.first if self.is_first else step.later in (True, None)):
            return False
        if not has_marks(Flow(0, self.mark), step.marks):
            return False
        is_for_some = step.protocol or step.host or step.port or step.tests or step.sources
        is_unsure = step.probability < 1 or step.recalls or (not self.is_first and not step.later)
        return None if is_for_some or is_unsure else True

    def _only_refuses(self, actions: Iterable[Action], depth: int) -> bool:
        """Whether all packets that get past these actions go on as they came."""
        return all(
            isinstance(each, Lookup)
            or (isinstance(each, End) and each.verdict in (Verdict.DROP, Verdict.REJECT))
            or (isinstance(each, Jump) and not each.goto and self._lets_none_pass(each, depth))
            for each in actions
        )

    def _lets_none_pass(self, jump: Jump, depth: int) -> bool:
        """Whether a chain ends packets or gives them back, and does nothing else."""
        chain = self.find_chain(jump.chain)
        return (
            chain is not None
            and depth < DEEPEST
            and all(
                step.actions == (Return(),) or self._only_refuses(step.actions, depth + 1)
                for step in chain.steps
            )
        )

    def _meet(self, step: Step, depth: int) -> Told | _Way | None:
        """What all actions of a step come to; None where the packets go on to the next."""
        for action in step.actions:
            match action:
                case End(Verdict.DROP | Verdict.REJECT):
                    return step.told
                case SetMark(clear, flip):
                    self.mark = (self.mark & ~clear) ^ flip
                case Jump(name, goto):
                    end = self.through(name, depth + 1)
                    if end is not _Way.RETURNED or goto:
                        return end
                case Lookup():
                    # By destinations of Services, which no translated packet has any more.
                    continue
                case Return():
                    return _Way.RETURNED
                case _:
                    return _Way.PASSED
        return None


def refusal(
    find_chain: FindChain, base_chain: str, mark: int, *, is_first: bool, prefix: str
) -> Told | None:
    """The rule that refuses all such packets for certain, if there is one, from a base chain on.

    It must be in a chain whose name begins with `prefix`.
    """
    end = _Packets(find_chain, mark, is_first=is_first, prefix=prefix).through(base_chain)
    return None if isinstance(end, _Way) else end
