"""The numbers of a run, counted in one place: checks, the nodes concerned, root causes. Pure.

The verdict and every report take their numbers from here, so that a run has the same ones
everywhere. A check counts once, by its worst outcome.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from wirecheck.catalogue.findings import Outcome
from wirecheck.results.causes import PROBLEMS, symptoms
from wirecheck.results.ordering import is_spared, worst
from wirecheck.results.records import ItemResult, Results
from wirecheck.text import plural

WORDS = {
    Outcome.FAIL: "failed",
    Outcome.ERROR: "could not be completed",
    Outcome.FLAKY: "flaky",
    Outcome.WARN: "warned",
    Outcome.KNOWN: "known from the baseline",
    Outcome.WAIVED: "waived",
    Outcome.PASS: "passed",
    Outcome.SKIP: "not applicable",
}
"""What a number of checks did, in the order of the verdict."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The numbers of a run, or of a part of one."""

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    """The worst outcome of each check that ran."""
    nodes: Mapping[Outcome, int] = field(default_factory=dict)
    """The number of nodes on which these checks have that outcome."""
    root_causes: int = 0
    """The number of failed checks whose failures do not all follow from other checks."""

    @property
    def ran(self) -> int:
        """The number of checks that ran."""
        return len(self.outcomes)

    def number(self, outcome: Outcome) -> int:
        """The number of checks with this worst outcome."""
        return sum(each is outcome for each in self.outcomes.values())

    def phrase(self, outcome: Outcome) -> str:
        """`9 checks failed on 3 nodes`; with `fail` also `, 6 root causes`."""
        nodes = self.nodes.get(outcome, 0)
        where = f" on {plural(nodes, 'node')}" if nodes and outcome in PROBLEMS else ""
        causes = f", {plural(self.root_causes, 'root cause')}" if outcome is Outcome.FAIL else ""
        return f"{plural(self.number(outcome), 'check')} {WORDS[outcome]}{where}{causes}"


def tally_of(results: Results) -> Tally:
    """The numbers of a run."""
    return tally(results.items, results.ended.spared, results.started.prerequisites)


def tally(
    items: Iterable[ItemResult],
    spared: Collection[str] = (),
    prerequisites: Collection[str] = (),
) -> Tally:
    """Count the items.

    Items that only say that one of the `spared` nodes is missing do not count. `prerequisites` are
    checks that nobody selected; they count only if they found something.
    """
    counting = [item for item in items if not is_spared(item, spared)]
    by_check = _by_check(counting)
    outcomes = {check: worst(each.outcome for each in some) for check, some in by_check.items()}
    for check in prerequisites:
        if outcomes.get(check) in (Outcome.PASS, Outcome.SKIP):
            del outcomes[check]
    nodes: dict[Outcome, set[str]] = defaultdict(set)
    for check, outcome in outcomes.items():
        nodes[outcome] |= {item.node for item in by_check[check] if item.outcome is outcome}
    return Tally(
        outcomes=outcomes,
        nodes={outcome: len(names - {""}) for outcome, names in nodes.items()},
        root_causes=len(root_causes(counting)),
    )


def root_causes(items: Iterable[ItemResult]) -> list[str]:
    """The failed checks with a failure that does not follow from that of another check."""
    every = list(items)
    following = symptoms(every)
    failed = (item for item in every if item.outcome is Outcome.FAIL)
    own = (item.check for item in failed if (item.check, item.node) not in following)
    return list(dict.fromkeys(own))


def _by_check(items: Iterable[ItemResult]) -> dict[str, Sequence[ItemResult]]:
    """The items of each check. Folded ones only count where the check has no others."""
    own: dict[str, list[ItemResult]] = defaultdict(list)
    folded: dict[str, list[ItemResult]] = defaultdict(list)
    for item in items:
        (folded if item.folded else own)[item.check].append(item)
    return {**folded, **own}
