"""Compares two runs: which findings are new, which are known, which are fixed. Pure.

Findings are identified by key and level, and counted. Keys name workloads and Services, so they
survive replaced nodes and pods; one more finding under the same key is new.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.results.causes import symptoms
from wirecheck.results.outcomes import outcome_of
from wirecheck.results.records import FURTHER, FindingRecord, ItemResult, PastFinding

EVALUATED = frozenset(Outcome) - {Outcome.ERROR, Outcome.SKIP}


@dataclass(frozen=True, slots=True)
class ComparedItems:
    """The later run's items with marked findings, and what has become of the other findings."""

    items: list[ItemResult]
    new: int
    known: int
    fixed: list[PastFinding]
    unseen: list[PastFinding]


@dataclass(slots=True)
class _Pool:
    """The earlier run's findings with one key and level, by node and object."""

    left: dict[tuple[str, str], list[PastFinding]] = field(default_factory=dict)

    def put(self, past: PastFinding) -> None:
        """Add a finding of the earlier run."""
        self.left.setdefault((past.node, str(past.finding.object)), []).append(past)

    def take(self, node: str, name: str) -> bool:
        """Use up the finding about this object on this node; False if there is none."""
        some = self.left.get((node, name))
        if not some:
            return False
        some.pop()
        if not some:
            del self.left[node, name]
        return True

    def take_any(self) -> bool:
        """Use up any finding: one that moved to another node or pod is not new."""
        key = next(iter(self.left), None)
        return key is not None and self.take(*key)


def root_causes_first(
    findings: Iterable[PastFinding], items: Iterable[ItemResult]
) -> list[PastFinding]:
    """The findings of these items, failures first, and what follows from others last.

    `why` of a symptom names its likely cause, unless it says something else already.
    """
    causes = symptoms(items)
    levels = tuple(Level)

    def explained(past: PastFinding) -> PastFinding:
        cause, _ = causes.get((past.check, past.node), ("", ""))
        return replace(past, why=f"likely follows from {cause}") if cause and not past.why else past

    ordered = sorted(
        findings,
        key=lambda past: (levels.index(past.finding.level), (past.check, past.node) in causes),
    )
    return [explained(past) for past in ordered]


FindingPosition = tuple[int, int]
"""The number of the item, and of the finding in it."""


def compared(
    before: Iterable[ItemResult], now: Sequence[ItemResult], checks: Collection[str]
) -> ComparedItems:
    """Mark the findings of `now`. `checks` are the ids that were evaluated for it."""
    pools = _pools(before)
    known = _known(pools, now)
    items = [_marked(item, number, known) for number, item in enumerate(now)]
    by_key = {(item.check, item.node): item for item in now}
    nodes = {item.node for item in now}
    fixed, unseen = [], []
    for past in _rest(pools):
        why = _why_unseen(past, by_key, nodes, checks)
        if why:
            unseen.append(replace(past, why=why))
        elif past.node and past.node not in nodes:
            fixed.append(replace(past, why=f"Node {past.node} no longer exists."))
        else:
            fixed.append(past)
    new = sum(finding.standing == "new" for item in items for finding in item.findings)
    return ComparedItems(items, new, len(known), fixed, unseen)


def _pools(before: Iterable[ItemResult]) -> dict[tuple[str, Level], _Pool]:
    pools: dict[tuple[str, Level], _Pool] = defaultdict(_Pool)
    for item in before:
        for finding in item.findings:
            if finding.level is not Level.ERROR:
                past = PastFinding(item.check, replace(finding, standing=""), item.node)
                pools[finding.key, finding.level].put(past)
    return pools


def _known(
    pools: Mapping[tuple[str, Level], _Pool], now: Sequence[ItemResult]
) -> set[FindingPosition]:
    """The findings that the earlier run had: first about the same object, then about any."""
    known: set[FindingPosition] = set()
    for level, earlier in ((Level.FAIL, Level.FAIL), (Level.WARN, Level.WARN)):
        known |= set(_matched(pools, now, known, level, earlier))
    # A failure that is only a warning now has improved, so it is not new.
    known |= set(_matched(pools, now, known, Level.WARN, Level.FAIL))
    return known


def _matched(
    pools: Mapping[tuple[str, Level], _Pool],
    now: Sequence[ItemResult],
    known: Collection[FindingPosition],
    level: Level,
    earlier: Level,
) -> Iterator[FindingPosition]:
    moved: list[tuple[FindingPosition, _Pool]] = []
    for position, node, finding in _findings(now):
        pool = pools.get((finding.key, earlier))
        if pool is None or finding.level is not level or position in known:
            continue
        if pool.take(node, str(finding.object)):
            yield position
        else:
            moved.append((position, pool))
    for position, pool in moved:
        if pool.take_any():
            yield position


def _findings(items: Sequence[ItemResult]) -> Iterator[tuple[FindingPosition, str, FindingRecord]]:
    for number, item in enumerate(items):
        for position, finding in enumerate(item.findings):
            yield (number, position), item.node, finding


def _marked(item: ItemResult, number: int, known: Collection[FindingPosition]) -> ItemResult:
    """The item with the standing of each finding, and the outcome that follows."""
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
    """The finding with its standing. A waived one stays waived, as configured."""
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
    """Why nothing is known about it now; empty if it was evaluated again, or its node is gone."""
    if past.check not in checks:
        return f"{past.check} was not evaluated this time."
    item = now.get((past.check, past.node))
    if item is None:
        return (
            ""
            if past.node and past.node not in nodes
            else f"{past.check} was not evaluated this time."
        )
    if item.outcome not in EVALUATED:
        return item.reason or f"{past.check} could not be checked this time."
    if str(past.finding.object) in item.undecided:
        return "It changed during the run."
    if any(each.object.part == FURTHER for each in item.findings):
        return f"{past.check} now has more findings than are listed."
    return ""
