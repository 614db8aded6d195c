"""The results of a run, from the evaluated items and their snapshot."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from wirecheck import __version__
from wirecheck.catalogue.profiles import PATHS
from wirecheck.catalogue.registry import UNREACHABLE, Check, load
from wirecheck.catalogue.remedies import general
from wirecheck.evaluation.before_helper_pods import unread_before
from wirecheck.evaluation.selection import EVERYTHING, Selection
from wirecheck.evaluation.slow_commands import slow_commands
from wirecheck.evaluation.verdict import (
    FailOn,
    counts,
    coverage,
    exit_status,
    spared_nodes,
    verdict,
)
from wirecheck.evaluation.waivers import waiver_records
from wirecheck.model.cluster import Cluster
from wirecheck.results.measures import NodeMeasures, of_all
from wirecheck.results.records import (
    FORMAT,
    CheckRecord,
    ClusterRecord,
    Comparison,
    ItemResult,
    Override,
    Results,
    RunEnded,
    RunStarted,
)
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import SnapshotIndex
from wirecheck.text import plural, rfc3339


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The observation of a run, and its evaluation."""

    source: str
    """`live`, or the snapshot's folder."""
    snapshot: Snapshot
    first_round: Cluster
    """The cluster in the round that visits every node."""
    checks: Sequence[Check]
    items: list[ItemResult]
    measured: Mapping[str, NodeMeasures]
    """The values measured on each evaluated node."""
    overrides: Sequence[Override] = ()
    """Thresholds and waivers that replace those of the snapshot."""
    prerequisites: Collection[str] = ()
    """Checks that ran only because the selected ones depend on them."""
    selection: Selection = EVERYTHING
    """The part of the cluster that was evaluated."""
    selected_nodes: Collection[str] = ()
    """The nodes that it has."""
    left_out: int = 0
    """The number of findings about other objects."""
    interrupted: bool = False
    comparison: Comparison | None = None


def results_of(evaluated: Evaluated, seconds: float, fail_on: FailOn) -> Results:
    """The record of a run that took `seconds`."""
    index = evaluated.snapshot.index
    items = evaluated.items
    interrupted = evaluated.interrupted
    unreachable = index.thresholds.get(UNREACHABLE, 0)
    catalogue = sum(check.id not in PATHS for check in load())
    return Results(
        started=RunStarted(
            format=FORMAT,
            wirecheck=__version__,
            time=rfc3339(index.time),
            cluster=ClusterRecord(
                name=index.cluster.title,
                uid=index.cluster.uid,
                version=index.cluster.version,
                proxy_modes=_proxy_modes(index),
            ),
            source=evaluated.source,
            checks=[_check(check) for check in evaluated.checks],
            overrides=list(evaluated.overrides),
            selected_nodes=list(evaluated.selection.nodes),
            selected_namespaces=list(evaluated.selection.namespaces),
            notes=[*_selection_notes(evaluated), *_notes(evaluated.snapshot)],
            catalogue=catalogue,
            prerequisites=sorted(evaluated.prerequisites),
        ),
        items=items,
        ended=RunEnded(
            status=exit_status(items, fail_on, interrupted=interrupted, unreachable=unreachable),
            verdict=verdict(
                items,
                interrupted=interrupted,
                unreachable=unreachable,
                catalogue=catalogue if len(evaluated.checks) < catalogue else 0,
                prerequisites=evaluated.prerequisites,
                part=_part(evaluated),
            ),
            coverage=coverage(
                evaluated.first_round,
                index,
                items,
                {name for name, each in evaluated.measured.items() if not each.has_pods},
                evaluated.selection,
            ),
            counts=counts(items),
            seconds=round(seconds, 3),
            looks=len(index.looks),
            interrupted=interrupted,
            spared=spared_nodes(items, unreachable),
            waivers=waiver_records(index, items),
            measured=of_all(evaluated.measured.values()),
        ),
        comparison=evaluated.comparison,
    )


def _proxy_modes(index: SnapshotIndex) -> list[str]:
    """Every mode that some node's kube-proxy is in."""
    visits = (visit for look in index.looks for visit in look.visits.values())
    return sorted({visit.proxy_mode for visit in visits} - {""})


def _selection_notes(evaluated: Evaluated) -> list[str]:
    """What was selected, and how much was found elsewhere."""
    if not evaluated.selection:
        return []
    outside = plural(evaluated.left_out, "finding")
    verb = "was" if evaluated.left_out == 1 else "were"
    return [f"Checked only {_part(evaluated)}: {outside} about other objects {verb} left out."]


def _part(evaluated: Evaluated) -> str:
    """What of the cluster was evaluated; empty for all of it."""
    known = len(evaluated.first_round.nodes)
    if evaluated.selection:
        return evaluated.selection.words(evaluated.selected_nodes, known)
    # Under pytest, single items can be chosen.
    nodes = {item.node for item in evaluated.items} - {""}
    is_part = bool(nodes) and len(nodes) < known and not evaluated.interrupted
    return f"{len(nodes):,} of {plural(known, 'node')}" if is_part else ""


def _notes(snapshot: Snapshot) -> list[str]:
    """The notes of the rounds, and once each, what could not be read from the API."""
    index = snapshot.index
    notes = [*index.notes, *(problem for look in index.looks for problem in look.problems)]
    notes += [*(index.before.problems if index.before else ()), *unread_before(index)]
    notes += slow_commands(index)
    if index.wirecheck != __version__:
        notes.append(f"The snapshot was taken by wirecheck {index.wirecheck}.")
    return list(dict.fromkeys(notes))


def _check(check: Check) -> CheckRecord:
    return CheckRecord(
        id=check.id,
        sentence=check.sentence,
        why=check.why,
        remedy=general(check.remedy),
        scope=check.scope,
    )
