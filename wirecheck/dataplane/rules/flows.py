"""Sets of clients that meet the same fate on a walk, and how they end."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from wirecheck.dataplane.rules.steps import MarkTest, SetMark
from wirecheck.dataplane.table import Backend, Told, Verdict


class Flow(Struct, frozen=True, gc=False):
    """Clients that have met the same fate so far."""

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
        """What it has met, whoever it is."""
        return self.mark, self.weight, self.recalled, self.own_marks, self.remembered


class Result(Struct, frozen=True, gc=False):
    """How a flow ended."""

    flow: Flow
    verdict: Verdict
    backend: Backend | None = None
    remembers: str = ""
    reason: str = ""
    rules: tuple[Told, ...] = ()


def only_from(flows: list[Flow], sources: int) -> list[Flow]:
    """The part of the flows that comes from these clients."""
    return [
        replace(flow, sources=flow.sources & sources) for flow in flows if flow.sources & sources
    ]


def has_marks(flow: Flow, tests: tuple[MarkTest, ...]) -> bool:
    """Whether all tests hold for the mark of the flow."""
    return all((flow.mark & mask == value) is not negated for value, mask, negated in tests)


def with_own_mark(flow: Flow, host: str, action: SetMark) -> Flow:
    """The same, with another mark for packets from one address."""
    mark = (flow.mark & ~action.clear) ^ action.flip
    return replace(flow, own_marks=flow.own_marks | {(host, mark)})


def merged(flows: list[Flow]) -> list[Flow]:
    """The same with flows of equal fate joined."""
    if len(flows) < 2:
        return flows
    joined: dict[tuple[object, ...], Flow] = {}
    for flow in flows:
        fate = flow.fate
        other = joined.get(fate)
        joined[fate] = replace(flow, sources=flow.sources | other.sources) if other else flow
    return list(joined.values())
