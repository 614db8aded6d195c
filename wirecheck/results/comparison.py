"""Two runs compared: which findings are new, which were there, which are gone. Pure.

Findings are told apart by key and level, and counted: keys name workloads and Services, so they
outlive replaced nodes and renamed pods, and one more under a key is as new as the first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.results.outcomes import outcome_of
from wirecheck.results.records import FURTHER, FindingRecord, ItemResult, PastFinding

JUDGED = frozenset(Outcome) - {Outcome.ERROR, Outcome.SKIP}


@dataclass(frozen=True, slots=True)
class Difference:
    """The later run's items, their findings marked, and what became of all other findings."""

    items: list[ItemResult]
    new: int
    known: int
    fixed: list[PastFinding]
    unseen: list[PastFinding]


@dataclass(slots=True)
class _Pool:
    """The findings under one key and of one level that the earlier run had, by their place."""

    left: dict[tuple[str, str], list[PastFinding]] = field(default_factory=dict)

    def put(self, past: PastFinding) -> None:
        """It was there."""
        self.left.setdefault((past.node, str(past.finding.object)), []).append(past)

    def take(self, node: str, name: str) -> bool:
        """Use up the finding at this very place; false if there was none."""
        some = self.left.get((node, name))
        if not some:
            return False
        some.pop()
        if not some:
            del self.left[node, name]
        return True

    def take_any(self) -> bool:
        """Use up whichever is left: what moved to another node or pod is not new."""
        place = next(iter(self.left), None)
        return place is not None and self.take(*place)


Place = tuple[int, int]
"""Of a finding: the number of its item, and its own in it."""


def compared(
    before: Iterable[ItemResult], now: Sequence[ItemResult], checks: Collection[str]
) -> Difference:
    """Mark the findings of `now`; `checks` are the ids of those that were judged for it."""
    pools = _pools(before)
    known = _known(pools, now)
    items = [_marked(item, number, known) for number, item in enumerate(now)]
    by_place = {(item.check, item.node): item for item in now}
    nodes = {item.node for item in now}
    fixed, unseen = [], []
    for past in _rest(pools):
        why = _why_unseen(past, by_place, nodes, checks)
        if why:
            unseen.append(replace(past, why=why))
        elif past.node and past.node not in nodes:
            fixed.append(replace(past, why=f"Node {past.node} is not there any more."))
        else:
            fixed.append(past)
    new = sum(finding.standing == "new" for item in items for finding in item.findings)
    return Difference(items, new, len(known), fixed, unseen)


def _pools(before: Iterable[ItemResult]) -> dict[tuple[str, Level], _Pool]:
    pools: dict[tuple[str, Level], _Pool] = defaultdict(_Pool)
    for item in before:
        for finding in item.findings:
            if finding.level is not Level.ERROR:
                past = PastFinding(item.check, replace(finding, standing=""), item.node)
                pools[finding.key, finding.level].put(past)
    return pools


def _known(pools: Mapping[tuple[str, Level], _Pool], now: Sequence[ItemResult]) -> set[Place]:
    """The findings that the earlier run had: first at the same place, then anywhere."""
    known: set[Place] = set()
    for level, earlier in ((Level.FAIL, Level.FAIL), (Level.WARN, Level.WARN)):
        known |= set(_matched(pools, now, known, level, earlier))
    # What failed and is only a risk now has become better: that is nothing new either.
    known |= set(_matched(pools, now, known, Level.WARN, Level.FAIL))
    return known


def _matched(
    pools: Mapping[tuple[str, Level], _Pool],
    now: Sequence[ItemResult],
    known: Collection[Place],
    level: Level,
    earlier: Level,
) -> Iterator[Place]:
    moved: list[tuple[Place, _Pool]] = []
    for place, node, finding in _findings(now):
        pool = pools.get((finding.key, earlier))
        if pool is None or finding.level is not level or place in known:
            continue
        if pool.take(node, str(finding.object)):
            yield place
        else:
            moved.append((place, pool))
    for place, pool in moved:
        if pool.take_any():
            yield place


def _findings(items: Sequence[ItemResult]) -> Iterator[tuple[Place, str, FindingRecord]]:
    for number, item in enumerate(items):
        for position, finding in enumerate(item.findings):
            yield (number, position), item.node, finding


def _marked(item: ItemResult, number: int, known: Collection[Place]) -> ItemResult:
    """The item with each finding's standing, and the outcome that follows."""
    if not item.findings:
        return item
    findings = [
        _standing(finding, is_known=(number, position) in known)
        for position, finding in enumerate(item.findings)
    ]
    was_waived = item.outcome is Outcome.WAIVED
    error = item.outcome is Outcome.ERROR or bool(item.reason and not was_waived)
    outcome = outcome_of(findings, error=error, skip=False)
    return replace(item, findings=findings, outcome=outcome)


def _standing(finding: FindingRecord, *, is_known: bool) -> FindingRecord:
    """A waiver was decided on by someone: it stays one, whatever the baseline had."""
    if finding.standing == "waived" or finding.level is Level.ERROR:
        return finding
    return replace(finding, standing="known" if is_known else "new")


def _rest(pools: Mapping[tuple[str, Level], _Pool]) -> Iterator[PastFinding]:
    for pool in pools.values():
        for some in pool.left.values():
            yield from some


def _why_unseen(
    past: PastFinding,
    now: Mapping[tuple[str, str], ItemResult],
    nodes: Collection[str],
    checks: Collection[str],
) -> str:
    """Why nothing is known of it now; empty if its place was judged, or is gone."""
    if past.check not in checks:
        return f"{past.check} was not judged now."
    item = now.get((past.check, past.node))
    if item is None:
        return "" if past.node and past.node not in nodes else f"{past.check} was not judged now."
    if item.outcome not in JUDGED:
        return item.reason or f"{past.check} could not be judged now."
    if str(past.finding.object) in item.undecided:
        return "It changed while it was looked at."
    if any(each.object.part == FURTHER for each in item.findings):
        return f"{past.check} finds more now than is listed."
    return ""
