"""Results in the order in which people read them: by check, worst first; nodes not seen apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from wirecheck.catalogue.findings import Outcome
from wirecheck.results.causes import Place
from wirecheck.results.records import CheckRecord, FindingRecord, ItemResult, Results

WORST_FIRST = (
    Outcome.FAIL,
    Outcome.ERROR,
    Outcome.WARN,
    Outcome.WAIVED,
    Outcome.KNOWN,
    Outcome.PASS,
    Outcome.SKIP,
)
ACCEPTED = frozenset({"known", "waived"})
RED = frozenset({Outcome.FAIL, Outcome.ERROR})
TOLD_WITH_CAUSE = frozenset({Outcome.FAIL, Outcome.ERROR, Outcome.WARN})
REACHABLE = "nodes.reachable"


@dataclass(frozen=True, slots=True)
class CheckResults:
    """One check with how it ended everywhere.

    `items` speak for themselves. `folded` only repeat that the node was not looked at.
    """

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
        """The worst that was judged; of a check that nothing was judged for, what is left."""
        return worst(item.outcome for item in self.items or self.folded)

    @property
    def next_step(self) -> str:
        """The remedy, with the names of the first finding that is as bad as the check.

        Empty where nothing failed: an error says itself what to do about it.
        """
        if self.outcome is Outcome.ERROR and self.record.id != REACHABLE:
            return ""
        worst_items = self.having(self.outcome)
        filled = (each.remedy for item in worst_items for each in item.findings if each.remedy)
        return next(filled, self.record.remedy)

    def having(self, *outcomes: Outcome) -> list[ItemResult]:
        """The items that ended so."""
        return [item for item in self.items if item.outcome in outcomes]


@dataclass(frozen=True, slots=True)
class Unseen:
    """Nodes that were not looked at for one reason; `checks` say nothing else about each."""

    nodes: tuple[str, ...]
    outcome: Outcome
    reason: str
    checks: int


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The first of them in the order of `WORST_FIRST`; `skip` of none."""
    return min(outcomes, key=WORST_FIRST.index, default=Outcome.SKIP)


def by_check(results: Results) -> list[CheckResults]:
    """Every check of the run, group by group; unknown ones last, never left out."""
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
    """What the verdict looks like: `pass` only if something was judged, and nothing is red."""
    outcomes = {item.outcome for item in results.items if not is_spared(results, item)}
    if Outcome.FAIL in outcomes:
        return Outcome.FAIL
    if is_about_nothing(results) or Outcome.ERROR in outcomes or results.ended.interrupted:
        return Outcome.ERROR
    if results.ended.status > 1:
        return Outcome.ERROR
    return Outcome.WARN if Outcome.WARN in outcomes else Outcome.PASS


def is_spared(results: Results, item: ItemResult) -> bool:
    """Whether the item is about a node that may be missing, and says no more than that."""
    about_the_visit = item.folded or item.check == REACHABLE
    return about_the_visit and item.node in results.ended.spared


def is_about_nothing(results: Results) -> bool:
    """No node is known, or every item was skipped or could not be judged."""
    outcomes = {item.outcome for item in results.items}
    return not results.ended.coverage.nodes_known or outcomes <= {Outcome.SKIP, Outcome.ERROR}


def unseen_nodes(results: Results) -> list[Unseen]:
    """Nodes of which nothing was learned: those that could not be looked at, then left out."""
    folded: dict[str, list[ItemResult]] = defaultdict(list)
    for item in results.items:
        if item.folded and item.node:
            folded[item.node].append(item)
        elif _tells_unseen(item):
            folded[item.node].insert(0, item)
    alike: dict[tuple[Outcome, str, int], list[str]] = defaultdict(list)
    for name, items in folded.items():
        reason = next(filter(None, map(_reason, items)), "No reason was recorded.")
        checks = sum(item.folded for item in items)
        alike[worst(item.outcome for item in items), reason, checks].append(name)
    unseen = [
        Unseen(tuple(sorted(names)), outcome, reason, checks)
        for (outcome, reason, checks), names in alike.items()
    ]
    return sorted(unseen, key=lambda each: (WORST_FIRST.index(each.outcome), each.nodes))


def without_unseen(checks: Iterable[CheckResults]) -> list[CheckResults]:
    """The checks less what `unseen_nodes` tells already."""
    return [
        replace(check, items=tuple(item for item in check.items if not _tells_unseen(item)))
        for check in checks
    ]


def without_symptoms(check: CheckResults, following: Mapping[Place, Place]) -> CheckResults:
    """The check less the items that are told with their cause."""
    items = tuple(item for item in check.items if (item.check, item.node) not in following)
    return replace(check, items=items)


def following(check: CheckResults, causes: Mapping[Place, Place]) -> dict[str, list[str]]:
    """The checks of which something likely follows from what this one found, and where."""
    found: dict[str, list[str]] = defaultdict(list)
    for (symptom, node), (cause, _) in causes.items():
        if cause == check.record.id:
            found[symptom].append(node)
    return {symptom: sorted(filter(None, nodes)) for symptom, nodes in found.items()}


def causes_of(check: CheckResults, causes: Mapping[Place, Place]) -> list[str]:
    """The checks from which all that this one found likely follows; none if some does not."""
    places = [(item.check, item.node) for item in check.items if item.outcome in TOLD_WITH_CAUSE]
    if not all(place in causes for place in places):
        return []
    return list(dict.fromkeys(causes[place][0] for place in places))


def most_each(sizes: Sequence[int], total: int) -> int:
    """How many of each may be shown, at least one, so that all together are at most `total`."""
    left, low = total, 0
    for place, size in enumerate(sorted(sizes)):
        waiting = len(sizes) - place
        if (size - low) * waiting > left:
            return max(1, low + left // waiting)
        left -= (size - low) * waiting
        low = size
    return max(1, low)


def shares(
    items: Sequence[ItemResult], most: int
) -> Iterator[tuple[ItemResult, list[FindingRecord]]]:
    """The first findings of each item, as many of each as `most` in all allow.

    What is accepted comes after what is not: it must not crowd out what made the item red.
    """
    each = most_each([len(item.findings) for item in items], most)
    for item in items[:most]:
        ordered = sorted(item.findings, key=lambda finding: finding.standing in ACCEPTED)
        yield item, ordered[:each]


def total(numbers: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sums by key, the largest first."""
    sums: Counter[str] = Counter()
    for each in numbers:
        sums.update(each)
    return dict(sums.most_common())


def _tells_unseen(item: ItemResult) -> bool:
    return item.check == REACHABLE and item.outcome in (Outcome.ERROR, Outcome.SKIP)


def _reason(item: ItemResult) -> str:
    return item.reason or next((finding.found for finding in item.findings), "")


def _unexplained(identity: str) -> CheckRecord:
    return CheckRecord(
        id=identity,
        sentence=f"{identity} (the run's list of checks does not explain it).",
        why="",
        remedy="",
        scope="",
    )
