"""Results in the order of reports: by check, worst first; unchecked nodes apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from wirecheck.catalogue.findings import Outcome
from wirecheck.results.causes import PROBLEMS, ItemKey, symptoms
from wirecheck.results.records import CheckRecord, FindingRecord, ItemResult, Results

WORST_FIRST = (
    Outcome.FAIL,
    Outcome.ERROR,
    Outcome.FLAKY,
    Outcome.WARN,
    Outcome.WAIVED,
    Outcome.KNOWN,
    Outcome.PASS,
    Outcome.SKIP,
)
CALM: frozenset[Outcome | None] = frozenset({Outcome.PASS, Outcome.SKIP, None})
"""Nothing was found; None where a check has no item."""
REMARKABLE = tuple(each for each in WORST_FIRST if each not in CALM)
"""The outcomes that reports show item by item, the worst first."""
ACCEPTED = frozenset({"known", "waived"})
FAILING = frozenset({Outcome.FAIL, Outcome.ERROR})
REACHABLE = "nodes.reachable"
"""The check that reports whether each node was visited."""


@dataclass(frozen=True, slots=True)
class CheckResults:
    """One check with all its items. `folded` ones only repeat that the node was not checked."""

    record: CheckRecord
    items: tuple[ItemResult, ...]
    folded: tuple[ItemResult, ...]

    @property
    def group(self) -> str:
        return self.record.id.partition(".")[0]

    @property
    def name(self) -> str:
        return self.record.id.partition(".")[2] or self.record.id

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of the items; of the folded ones if there are no others."""
        return worst(item.outcome for item in self.items or self.folded)

    @property
    def next_step(self) -> str:
        """The remedy, with the names of the first finding that has the outcome of the check.

        Empty for an error: its reason says what to do.
        """
        if self.outcome is Outcome.ERROR and self.record.id != REACHABLE:
            return ""
        worst_items = self.having(self.outcome)
        filled = (each.remedy for item in worst_items for each in item.findings if each.remedy)
        return next(filled, self.record.remedy)

    def having(self, *outcomes: Outcome) -> list[ItemResult]:
        """The items with one of these outcomes."""
        return [item for item in self.items if item.outcome in outcomes]


@dataclass(frozen=True, slots=True)
class UncheckedNodes:
    """Nodes that were not checked for the same reason; `checks` is the number of checks missed."""

    nodes: tuple[str, ...]
    outcome: Outcome
    reason: str
    checks: int


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of the outcomes; `skip` if there are none."""
    return min(outcomes, key=WORST_FIRST.index, default=Outcome.SKIP)


def by_check(results: Results) -> list[CheckResults]:
    """Every check of the run, group by group; unknown checks last."""
    records = {record.id: record for record in results.started.checks}
    own: dict[str, list[ItemResult]] = {identity: [] for identity in records}
    folded: dict[str, list[ItemResult]] = defaultdict(list)
    for item in results.items:
        (folded if item.folded else own).setdefault(item.check, []).append(item)
    checks = [
        CheckResults(
            records.get(identity) or _unexplained(identity),
            tuple(own.get(identity, ())),
            tuple(folded.get(identity, ())),
        )
        for identity in dict.fromkeys([*own, *folded])
        if own.get(identity) or folded.get(identity)
    ]
    groups = list(dict.fromkeys(check.group for check in checks))
    return sorted(checks, key=lambda check: groups.index(check.group))


def tone(results: Results) -> Outcome:
    """The colour of the verdict: `pass` only if something was evaluated and nothing fails."""
    spared = results.ended.spared
    outcomes = {item.outcome for item in results.items if not is_spared(item, spared)}
    if Outcome.FAIL in outcomes:
        return Outcome.FAIL
    if checked_nothing(results) or Outcome.ERROR in outcomes or results.ended.interrupted:
        return Outcome.ERROR
    if results.ended.status > 1:
        return Outcome.ERROR
    return next((each for each in (Outcome.FLAKY, Outcome.WARN) if each in outcomes), Outcome.PASS)


def is_spared(item: ItemResult, spared: Collection[str]) -> bool:
    """Whether the item only reports that one of the `spared` nodes was not checked."""
    return item.node in spared and (item.folded or item.check == REACHABLE)


def checked_nothing(results: Results) -> bool:
    """Whether no node is known, or no item could be evaluated."""
    outcomes = {item.outcome for item in results.items}
    return not results.ended.coverage.nodes_known or outcomes <= {Outcome.SKIP, Outcome.ERROR}


def unchecked_nodes(results: Results) -> list[UncheckedNodes]:
    """The nodes that were not checked: first those that could not be, then skipped ones."""
    folded: dict[str, list[ItemResult]] = defaultdict(list)
    for item in results.items:
        if item.folded and item.node:
            folded[item.node].append(item)
        elif _is_unchecked_node(item):
            folded[item.node].insert(0, item)
    alike: dict[tuple[Outcome, str, int], list[str]] = defaultdict(list)
    for name, items in folded.items():
        reason = next(filter(None, map(_reason, items)), "No reason was recorded.")
        checks = sum(item.folded for item in items)
        alike[worst(item.outcome for item in items), reason, checks].append(name)
    unchecked = [
        UncheckedNodes(tuple(sorted(names)), outcome, reason, checks)
        for (outcome, reason, checks), names in alike.items()
    ]
    return sorted(unchecked, key=lambda each: (WORST_FIRST.index(each.outcome), each.nodes))


def without_unchecked(checks: Iterable[CheckResults]) -> list[CheckResults]:
    """The checks without the items that `unchecked_nodes` reports."""
    return [
        replace(check, items=tuple(item for item in check.items if not _is_unchecked_node(item)))
        for check in checks
    ]


def without_symptoms(check: CheckResults, causes: Mapping[ItemKey, ItemKey]) -> CheckResults:
    """The check without the items that are symptoms. `causes` is that of `causes.symptoms`."""
    items = tuple(item for item in check.items if (item.check, item.node) not in causes)
    return replace(check, items=items)


def symptoms_of(check: CheckResults, causes: Mapping[ItemKey, ItemKey]) -> dict[str, list[str]]:
    """The checks with symptoms of what this one found, and their nodes."""
    found: dict[str, list[str]] = defaultdict(list)
    for (symptom, node), (cause, _) in causes.items():
        if cause == check.record.id:
            found[symptom].append(node)
    return {symptom: sorted(filter(None, nodes)) for symptom, nodes in found.items()}


def causes_of(check: CheckResults, causes: Mapping[ItemKey, ItemKey]) -> list[str]:
    """The checks from which everything that this one found likely follows; else none."""
    keys = [(item.check, item.node) for item in check.items if item.outcome in PROBLEMS]
    if not all(key in causes for key in keys):
        return []
    return list(dict.fromkeys(causes[key][0] for key in keys))


def is_symptom(check: CheckResults, causes: Mapping[ItemKey, ItemKey]) -> bool:
    """Whether everything behind the check's worst outcome likely follows from other checks."""
    worst_items = check.having(check.outcome)
    return bool(worst_items) and all((item.check, item.node) in causes for item in worst_items)


def causes_first(
    checks: Iterable[CheckResults], causes: Mapping[ItemKey, ItemKey]
) -> list[CheckResults]:
    """The checks, the worst first. Symptoms come after all others with the same outcome."""
    return sorted(
        checks,
        key=lambda check: (WORST_FIRST.index(check.outcome), is_symptom(check, causes)),
    )


def failing_checks(results: Results) -> list[str]:
    """The ids of the checks that failed or could not be completed, root causes first."""
    ordered = causes_first(by_check(results), symptoms(results.items))
    return [check.record.id for check in ordered if check.having(*FAILING)]


def most_each(sizes: Sequence[int], total: int) -> int:
    """The largest number of each that may be shown, at least one, with at most `total` in all."""
    left, low = total, 0
    for number, size in enumerate(sorted(sizes)):
        waiting = len(sizes) - number
        if (size - low) * waiting > left:
            return max(1, low + left // waiting)
        left -= (size - low) * waiting
        low = size
    return max(1, low)


def first_findings(
    items: Sequence[ItemResult], most: int
) -> Iterator[tuple[ItemResult, list[FindingRecord]]]:
    """The first findings of each item, with at most `most` in all.

    Accepted findings come last: they must not displace those that make the item fail.
    """
    each = most_each([len(item.findings) for item in items], most)
    for item in items[:most]:
        ordered = sorted(item.findings, key=lambda finding: finding.standing in ACCEPTED)
        yield item, ordered[:each]


def total(numbers: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums by key, the largest first."""
    sums: Counter[str] = Counter()
    for each in numbers:
        sums.update(each)
    return dict(sums.most_common())


def _is_unchecked_node(item: ItemResult) -> bool:
    return item.check == REACHABLE and item.outcome in (Outcome.ERROR, Outcome.SKIP)


def _reason(item: ItemResult) -> str:
    return item.reason or next((finding.found for finding in item.findings), "")


def _unexplained(identity: str) -> CheckRecord:
    return CheckRecord(
        id=identity,
        sentence=f"{identity} (the run's list of checks lacks it).",
        why="",
        remedy="",
        scope="",
    )
