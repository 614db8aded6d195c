"""Which marks make a forwarded connection masqueraded, by the rules after routing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from wirecheck.dataplane.rules.chains import Chain
from wirecheck.dataplane.rules.flows import Flow, has_marks
from wirecheck.dataplane.rules.steps import Action, End, Jump, Return, SetMark, Source, Step
from wirecheck.dataplane.table import Verdict

FindChain = Callable[[str], Chain | None]
ByMark = Callable[[int], bool | None]
"""Whether a packet with a mark is masqueraded, None where it is dropped."""


def in_turn(hooks: Sequence[ByMark]) -> ByMark:
    """What several tables do, one after the other."""

    @cache
    def is_masqueraded(mark: int) -> bool | None:
        answers = [each(mark) for each in hooks]
        return None if None in answers else any(answers)

    return is_masqueraded


def by_mark(find_chain: FindChain, base_chain: str) -> ByMark:
    """Whether a table masquerades a packet with a mark, wherever it comes from and goes.

    Rules about addresses or interfaces are other agents' (what leaves the cluster, say) and
    left out: they do not tell what becomes of the mark.
    """

    @cache
    def is_masqueraded(mark: int) -> bool | None:
        chain = find_chain(base_chain)
        end = _walk(chain, mark, find_chain, 0) if chain else False
        return end if end is None else end is True

    return is_masqueraded


def _walk(chain: Chain, mark: int, find_chain: FindChain, depth: int) -> bool | int | None:
    """True: masqueraded; False: let through; None: dropped; a number: goes on with that mark."""
    for step in chain.steps:
        if not _is_general(step) or not has_marks(Flow(0, mark), step.marks):
            continue
        for action in step.actions:
            if isinstance(action, Return):
                return mark
            after = _act(action, mark, find_chain, depth)
            if after is None or isinstance(after, bool):
                return after
            if isinstance(action, Jump) and action.goto:
                return after
            mark = after
    return mark


def _act(action: Action, mark: int, find_chain: FindChain, depth: int) -> bool | int | None:
    match action:
        case Source():
            return True
        case End(Verdict.DROP | Verdict.REJECT):
            return None
        case End():
            return False
        case SetMark(clear, flip):
            return (mark & ~clear) ^ flip
        case Jump(name) if depth < 16 and (chain := find_chain(name)):
            return _walk(chain, mark, find_chain, depth + 1)
    return mark


def _is_general(step: Step) -> bool:
    """Whether the step holds for every packet, but for its mark."""
    is_special = not step.first or step.protocol or step.host or step.port or step.tests
    return not (is_special or step.sources or step.probability < 1 or step.recalls)
