"""Sets of packets that rules treat alike, and how they end."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.rules.steps import MarkTest, SetMark, Step
from wirecheck.dataplane.table import RuleText, Verdict


class Flow(Struct, frozen=True, gc=False):
    """Packets that were treated alike so far; `sources` is the set of their clients."""

    sources: int
    mark: int = 0
    weight: float = 1.0
    recalled: tuple[str, int] | None = None
    """Returning clients only, remembered under this name for so many seconds."""
    own_marks: frozenset[tuple[str, int]] = frozenset()
    """The mark that the packet has instead if it comes from this very address."""
    remembered: str = ""
    """The name under which the client was remembered last."""

    @property
    def fate(self) -> tuple[object, ...]:
        """All but the sources: flows that agree on it can be merged."""
        return self.mark, self.weight, self.recalled, self.own_marks, self.remembered


class Result(Struct, frozen=True, gc=False):
    """How a flow ended."""

    flow: Flow
    verdict: Verdict
    backend: Backend | None = None
    remembers: str = ""
    reason: str = ""
    rules: tuple[RuleText, ...] = ()


REFUSED = frozenset({Verdict.DROP, Verdict.REJECT})


def is_refused(result: Result) -> bool:
    """Whether the packets are dropped or rejected."""
    return result.verdict in REFUSED


def only_from(flows: list[Flow], sources: int) -> list[Flow]:
    """The part of the flows that comes from these clients."""
    return [
        replace(flow, sources=flow.sources & sources) for flow in flows if flow.sources & sources
    ]


def has_marks(flow: Flow, tests: tuple[MarkTest, ...]) -> bool:
    """Whether all tests hold for the mark of the flow."""
    return all((flow.mark & mask == value) is not negated for value, mask, negated in tests)


def split_by_mark(step: Step, flows: list[Flow], *, is_sure: bool) -> tuple[list[Flow], list[Flow]]:
    """The flows that may match the step, and those that may not.

    If it is not sure that they do, those whose mark matches are in both.
    """
    if not step.marks:
        return flows, [] if is_sure else flows
    matched = [flow for flow in flows if has_marks(flow, step.marks)]
    others = [flow for flow in flows if not has_marks(flow, step.marks)] if is_sure else flows
    return matched, others


def with_own_mark(flow: Flow, host: str, action: SetMark) -> Flow:
    """The same, with another mark for packets from one address."""
    mark = (flow.mark & ~action.clear) ^ action.flip
    return replace(flow, own_marks=flow.own_marks | {(host, mark)})


def merged(flows: list[Flow]) -> list[Flow]:
    """The same with flows of equal fate merged."""
    if len(flows) < 2:
        return flows
    joined: dict[tuple[object, ...], Flow] = {}
    for flow in flows:
        fate = flow.fate
        other = joined.get(fate)
        joined[fate] = replace(flow, sources=flow.sources | other.sources) if other else flow
    return list(joined.values())
