"""Sets of packets that rules treat alike, and how they end."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.rules.steps import MarkTest, SetMark, Step
from wirecheck.dataplane.table import RuleText, Verdict

MOST_ACCEPTING = 8
"""Rules that are kept of those that accepted one flow: several flows may have been merged."""


class Accepted(NamedTuple):
    """A rule that ended a base chain for a packet: it skips the rest of that chain."""

    rules: tuple[RuleText, ...]
    """The path to it from the base chain on, and the rule itself."""
    by_mark: bool = False
    """Whether it accepts packets that an earlier rule has marked."""
    third_party: bool = True


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
    accepted: tuple[Accepted, ...] = ()
    """The rules that accepted it in the base chains so far: evidence only."""

    @property
    def fate(self) -> tuple[object, ...]:
        """All but sources and evidence: flows that agree on it can be merged."""
        return self.mark, self.weight, self.recalled, self.own_marks, self.remembered


class Result(Struct, frozen=True, gc=False):
    """How a flow ended."""

    flow: Flow
    verdict: Verdict
    backend: Backend | None = None
    remembers: str = ""
    reason: str = ""
    rules: tuple[RuleText, ...] = ()
    third_party: bool = False
    """Whether the rule that ended it is in a chain of neither kube-proxy nor the kubelet."""
    by_source: bool = False
    """Whether a third-party rule on the path has a condition on the source or the mark."""


REFUSED = frozenset({Verdict.DROP, Verdict.REJECT})


def is_refused(result: Result) -> bool:
    """Whether the packets are dropped or rejected."""
    return result.verdict in REFUSED


def apart(flow: Flow, host: str, sources: int) -> list[Flow]:
    """The packets from one address with their own mark, and all others; `sources` is the first."""
    mark = dict(flow.own_marks)[host]
    left = frozenset(each for each in flow.own_marks if each[0] != host)
    own = replace(flow, sources=flow.sources & sources, mark=mark, own_marks=frozenset())
    others = replace(flow, sources=flow.sources & ~sources, own_marks=left)
    return [each for each in (own, others) if each.sources]


def only_from(flows: list[Flow], sources: int) -> list[Flow]:
    """The part of the flows that comes from these clients."""
    return [
        replace(flow, sources=flow.sources & sources) for flow in flows if flow.sources & sources
    ]


def has_marks(flow: Flow, tests: tuple[MarkTest, ...]) -> bool:
    """Whether all tests hold for the mark of the flow."""
    return passes(flow.mark, tests)


def passes(mark: int, tests: tuple[MarkTest, ...]) -> bool:
    """Whether all tests hold for a mark."""
    return all((mark & mask == value) is not negated for value, mask, negated in tests)


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
    others = {(each, mark) for each, mark in flow.own_marks if each != host}
    before = dict(flow.own_marks).get(host, flow.mark)
    return replace(flow, own_marks=frozenset({*others, (host, action.of(before))}))


def with_mark(flow: Flow, action: SetMark) -> Flow:
    """The same after an action on the mark of all its packets."""
    own = frozenset((host, action.of(mark)) for host, mark in flow.own_marks)
    return replace(flow, mark=action.of(flow.mark), own_marks=own)


def marked_otherwise(flow: Flow, tests: tuple[MarkTest, ...]) -> str:
    """An address whose packets have another mark, and pass the tests where the others do not.

    Also one whose packets fail them where the others pass. Empty if there is none.
    """
    outcome = has_marks(flow, tests)
    for host, mark in flow.own_marks:
        if passes(mark, tests) is not outcome:
            return host
    return ""


def merged(flows: list[Flow]) -> list[Flow]:
    """The same with flows of equal fate merged."""
    if len(flows) < 2:
        return flows
    joined: dict[tuple[object, ...], Flow] = {}
    for flow in flows:
        fate = flow.fate
        other = joined.get(fate)
        joined[fate] = _joined(other, flow) if other else flow
    return list(joined.values())


def _joined(one: Flow, other: Flow) -> Flow:
    new = [each for each in other.accepted if each not in one.accepted]
    accepted = (*one.accepted, *new)[:MOST_ACCEPTING]
    return replace(one, sources=one.sources | other.sources, accepted=accepted)
