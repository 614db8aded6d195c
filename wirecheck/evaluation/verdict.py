"""The coverage, the verdict and the exit status of a run, from all its items. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Literal

from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.sampled_peers import sampled_peers
from wirecheck.evaluation.selection import EVERYTHING, Selection
from wirecheck.model.cluster import Cluster
from wirecheck.results.exit_statuses import FAILED, HEALTHY, INCOMPLETE, NOTHING_TO_DO
from wirecheck.results.ordering import REACHABLE, is_spared
from wirecheck.results.records import Coverage, ItemResult
from wirecheck.results.tally import Tally, tally
from wirecheck.snapshot.index import SnapshotIndex, VisitRecord, VisitStatus
from wirecheck.text import listed, plural

FailOn = Literal["fail", "flaky", "warn", "never"]

FAILS_ON: Mapping[FailOn, frozenset[Outcome]] = {
    "fail": frozenset({Outcome.FAIL}),
    "flaky": frozenset({Outcome.FAIL, Outcome.FLAKY}),
    "warn": frozenset({Outcome.FAIL, Outcome.FLAKY, Outcome.WARN}),
    "never": frozenset(),
}
"""The outcomes that make the exit status 1; each value includes those before it."""


def counts(items: Iterable[ItemResult]) -> dict[str, int]:
    """The number of items by outcome."""
    return dict(Counter(str(item.outcome) for item in items))


def exit_status(
    items: Sequence[ItemResult],
    fail_on: FailOn = "fail",
    *,
    interrupted: bool = False,
    unreachable: float = 0,
) -> int:
    """0 healthy, 1 at least one fail, 2 not everything could be checked, 5 nothing to do.

    What fails the run besides a fail is chosen by `fail_on`.
    A check whose objects are all inconclusive has checked nothing.
    `unreachable` nodes may be missing before it is 2.
    """
    outcomes = {item.outcome for item in items}
    if not outcomes - {Outcome.SKIP}:
        return INCOMPLETE if interrupted else NOTHING_TO_DO
    if fail_on == "never":
        return HEALTHY
    if outcomes & FAILS_ON[fail_on]:
        return FAILED
    spared = set(spared_nodes(items, unreachable))
    errors = (item for item in items if item.outcome is Outcome.ERROR)
    if interrupted or any(not is_spared(item, spared) for item in errors):
        return INCOMPLETE
    if only_inconclusive(items):
        return INCOMPLETE
    return HEALTHY


def fails(outcome: Outcome, fail_on: FailOn) -> bool:
    """Return whether an item with this outcome fails the run."""
    return outcome in FAILS_ON[fail_on]


def only_inconclusive(items: Iterable[ItemResult]) -> list[str]:
    """The checks that could not decide any of their objects, sorted.

    Not those that count no objects: they evaluate a node as a whole, and of that only a part is
    inconclusive.
    """
    inconclusive: set[str] = set()
    decided: set[str] = set()
    for item in items:
        if item.unjudged and item.conclusive is not None:
            inconclusive.add(item.check)
        if item.conclusive or item.findings:
            decided.add(item.check)
    return sorted(inconclusive - decided)


def spared_nodes(items: Iterable[ItemResult], unreachable: float) -> list[str]:
    """The nodes that were not checked, if at most `unreachable` are missing; else none.

    At least one other node must have been checked: a run that reached no node never succeeds.
    """
    visits = [item for item in items if item.check == REACHABLE]
    missing = sorted(item.node for item in visits if item.outcome is Outcome.ERROR)
    seen = any(item.outcome is Outcome.PASS for item in visits)
    return missing if seen and len(missing) <= unreachable else []


def verdict(
    items: Sequence[ItemResult],
    *,
    interrupted: bool = False,
    unreachable: float = 0,
    catalogue: int = 0,
    prerequisites: Collection[str] = (),
    part: str = "",
) -> str:
    """One sentence, the worst first.

    `catalogue` is the number of all checks if only some of them were selected, otherwise 0.
    `prerequisites` ran without being selected. `part` is what was selected of the cluster.
    """
    spared = spared_nodes(items, unreachable)
    counted = tally(items, spared, prerequisites)
    parts = [counted.phrase(Outcome.FAIL)] if counted.number(Outcome.FAIL) else []
    is_flaky = bool(counted.number(Outcome.FLAKY))
    if is_flaky:
        parts.append(_flaky(counted))
    if counted.number(Outcome.ERROR):
        parts.append(counted.phrase(Outcome.ERROR))
    unsure = only_inconclusive(items)
    if unsure:
        what = plural(len(unsure), "check")
        parts.append(f"{what} could decide nothing ({listed(unsure, 3)})")
    if interrupted:
        parts.append("the run was interrupted")
    if not parts:
        parts += _good_parts(counted, is_selection=bool(catalogue or part))
    for outcome in (Outcome.WARN, Outcome.KNOWN, Outcome.WAIVED):
        if counted.number(outcome):
            parts.append(counted.phrase(outcome))
    if spared:
        parts.append(f"{plural(len(spared), 'node')} not checked, which is accepted")
    sentence = ", ".join(parts)
    selected = [part] if part else []
    if catalogue and counted.ran:
        selected.append(f"{counted.ran:,} of {plural(catalogue, 'check')} run")
    words = ", ".join(selected)
    if is_flaky and not counted.number(Outcome.FAIL):
        # Nobody who reads the first word only may take the run for a healthy one.
        sentence += f" ({words})" if words else ""
    elif words:
        sentence = f"{words}: {sentence}"
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _good_parts(counted: Tally, *, is_selection: bool) -> list[str]:
    """The beginning of a verdict without failures. Some selected checks are not the cluster."""
    if counted.ran == counted.number(Outcome.SKIP):
        return ["not applicable" if is_selection and counted.ran else "nothing was checked"]
    if counted.number(Outcome.KNOWN):
        return ["nothing new"]
    if not is_selection:
        return ["healthy"]
    passed = ["passed"] if counted.number(Outcome.PASS) else []
    skipped = [counted.phrase(Outcome.SKIP)] if counted.number(Outcome.SKIP) else []
    return [*passed, *skipped]


def _flaky(counted: Tally) -> str:
    """`flaky: 1 check failed in some rounds only, on 3 nodes`."""
    checks = plural(counted.number(Outcome.FLAKY), "check")
    nodes = counted.nodes.get(Outcome.FLAKY, 0)
    where = f", on {plural(nodes, 'node')}" if nodes else ""
    return f"flaky: {checks} failed in some rounds only{where}"


def coverage(
    cluster: Cluster,
    index: SnapshotIndex,
    items: Sequence[ItemResult],
    without_pods: Set[str] = frozenset(),
    selection: Selection = EVERYTHING,
) -> Coverage:
    """How much was checked in the first round, that of `cluster`, which visits every node.

    `index` has all rounds. `without_pods` are nodes on which no pod could be found. Of what is
    known, only pods and Services of other namespaces than those of the `selection` do not count.
    """
    visits = {
        name: (cluster.visit_to(name) or _NO_VISIT) if selection.has_node(name) else _NOT_SELECTED
        for name in cluster.nodes
    }
    pods = [
        pod
        for pod in cluster.pods
        if pod.node_name and pod.is_running and selection.has_namespace(pod.namespace)
    ]
    services = sum(map(selection.has_namespace, (space for space, _ in cluster.services)))
    seen = {name for name, visit in visits.items() if visit.status.reached}
    undecided = {name for item in items for name in item.undecided}
    all_visits = [visit for each in index.looks for visit in each.visits.values()]
    connections = sum(visit.connections for visit in all_visits)
    helpers = index.helper_pods
    wanted = helpers.nodes if helpers else {}
    helped = len(wanted.keys() & cluster.helpers_of_the_run.keys())
    return Coverage(
        nodes_seen=len(seen),
        nodes_known=len(visits),
        pods_seen=sum(pod.node_name in seen - without_pods for pod in pods),
        pods_known=len(pods),
        services_seen=services if seen else 0,
        services_known=services,
        dns_queries=sum(visit.dns_queries for visit in all_visits),
        connections=connections,
        sampled_peers=sampled_peers(len(visits)) if connections else 0,
        helper_pods=helped,
        helper_pods_wanted=len(wanted),
        unreachable=sorted(name for name, visit in visits.items() if visit.status.failed),
        skipped_nodes={
            name: visit.reason for name, visit in visits.items() if visit.status.out_of_scope
        },
        undecided=len(undecided),
        unjudged=_unjudged(items),
    )


def _unjudged(items: Sequence[ItemResult]) -> dict[str, int]:
    """Inconclusive objects by reason, over all nodes; of several checks the largest number."""
    by_check: dict[str, Counter[str]] = {}
    for item in items:
        by_check.setdefault(item.check, Counter()).update(item.unjudged)
    most: Counter[str] = Counter()
    for counted in by_check.values():
        most |= counted
    return dict(most)


_NOT_SELECTED = VisitRecord(VisitStatus.SKIPPED, reason="It is not selected by --node.")
_NO_VISIT = VisitRecord(VisitStatus.UNREACHABLE, reason="The snapshot has no visit to it.")
