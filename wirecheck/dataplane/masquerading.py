"""Which marks make a forwarded connection masqueraded, by the rules after routing."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from wirecheck.dataplane.chains import Chain
from wirecheck.dataplane.flows import Flow, has_marks
from wirecheck.dataplane.steps import Action, End, Jump, Return, SetMark, Source, Step

FindChain = Callable[[str], Chain | None]


def by_mark(find_chain: FindChain, base_chain: str) -> Callable[[int], bool]:
    """Whether a packet with a mark is masqueraded, wherever it comes from and goes.

    Rules about addresses or interfaces are other agents' (what leaves the cluster, say) and
    left out: they do not tell what becomes of the mark.
    """

    @cache
    def is_masqueraded(mark: int) -> bool:
        chain = find_chain(base_chain)
        return chain is not None and _walk(chain, mark, find_chain, 0) is True

    return is_masqueraded


def _walk(chain: Chain, mark: int, find_chain: FindChain, depth: int) -> bool | int:
    """True: masqueraded; False: decided otherwise; a number: goes on with that mark."""
    for step in chain.steps:
        if not _is_general(step) or not has_marks(Flow(0, mark), step.marks):
            continue
        for action in step.actions:
            if isinstance(action, Return):
                return mark
            after = _act(action, mark, find_chain, depth)
            if isinstance(after, bool):
                return after
            if isinstance(action, Jump) and action.goto:
                return after
            mark = after
    return mark


def _act(action: Action, mark: int, find_chain: FindChain, depth: int) -> bool | int:
    match action:
        case Source():
            return True
        case End():
            return False
        case SetMark(clear, flip):
            return (mark & ~clear) ^ flip
        case Jump(name) if depth < 16 and (chain := find_chain(name)):
            return _walk(chain, mark, find_chain, depth + 1)
    return mark


def _is_general(step: Step) -> bool:
    """Whether the step holds for every packet, but for its mark."""
    is_special = step.never or step.protocol or step.host or step.port or step.tests
    return not (is_special or step.sources or step.probability < 1 or step.recalls)
