"""Merges the results of runs over different nodes of one cluster.

Only if a part no longer has its snapshot: nodes of different parts were never compared with each
other, and a note says so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from wirecheck.catalogue.findings import Outcome
from wirecheck.evaluation.verdict import FailOn, counts, exit_status, spared_nodes, verdict
from wirecheck.results.jsonl import ResultsError, read_results
from wirecheck.results.ordering import REACHABLE, worst
from wirecheck.results.records import Coverage, ItemResult, Results, WaiverRecord
from wirecheck.run.baseline import selection_of
from wirecheck.run.merge_snapshots import NO_ACCESS_NOTES, RESULTS
from wirecheck.run.request import RequestError


@dataclass(frozen=True, slots=True)
class Part:
    """One run, and the path of its results."""

    file: Path
    results: Results

    @property
    def seen(self) -> set[str]:
        """The nodes that it checked."""
        return {
            item.node
            for item in self.results.items
            if item.check == REACHABLE and item.outcome is Outcome.PASS
        }


def read_part(path: Path) -> Part:
    """Read the results in `path`, a results.jsonl or the folder of a run. Raises RequestError."""
    file = path / RESULTS if path.is_dir() else path
    try:
        return Part(file, read_results(file))
    except ResultsError as error:
        raise RequestError(str(error)) from None


def merge_results(parts: Sequence[Part], fail_on: FailOn, unreachable: float = 0) -> Results:
    """Merge the results of all parts.

    Raises RequestError if the parts are of different clusters, checked the same node, or were
    compared with a baseline: each part may have had another one.
    """
    ordered = sorted(parts, key=lambda each: each.results.started.time)
    _refuse_strangers(ordered)
    started = [each.results.started for each in ordered]
    ends = [each.results.ended for each in ordered]
    items = [*_of_nodes(ordered), *_of_the_cluster(ordered)]
    interrupted = any(ended.interrupted for ended in ends)
    checks = {check.id: check for each in started for check in each.checks}
    modes = sorted({mode for each in started for mode in each.cluster.proxy_modes})
    catalogue = max(each.catalogue for each in started)
    prerequisites = set(checks).intersection(*(each.prerequisites for each in started))
    return Results(
        started=replace(
            started[0],
            cluster=replace(started[0].cluster, proxy_modes=modes),
            source=", ".join(str(each.file) for each in ordered),
            checks=list(checks.values()),
            notes=list(dict.fromkeys(_notes(ordered))),
            catalogue=catalogue,
            prerequisites=sorted(prerequisites),
        ),
        items=items,
        ended=replace(
            ends[0],
            status=exit_status(items, fail_on, interrupted=interrupted, unreachable=unreachable),
            verdict=verdict(
                items,
                interrupted=interrupted,
                unreachable=unreachable,
                catalogue=catalogue if len(checks) < catalogue else 0,
                prerequisites=prerequisites,
            ),
            coverage=_coverage([ended.coverage for ended in ends], ordered, items),
            counts=counts(items),
            seconds=max(ended.seconds for ended in ends),
            looks=max(ended.looks for ended in ends),
            interrupted=interrupted,
            spared=spared_nodes(items, unreachable),
            waivers=_waivers(waiver for ended in ends for waiver in ended.waivers),
            wait=None,
            measured={},
        ),
    )


def _notes(parts: Sequence[Part]) -> Iterator[str]:
    for each in parts:
        yield from (n for n in each.results.started.notes if not n.startswith(NO_ACCESS_NOTES))
    yield (
        f"Merged from the results of {len(parts)} runs: nodes of different runs were not "
        "compared with each other. To compare them, merge the snapshots."
    )


def _refuse_strangers(parts: Sequence[Part]) -> None:
    first = parts[0]
    uid = first.results.started.cluster.uid
    of: dict[str, Part] = {}
    for each in parts:
        about = each.results.started.cluster
        if not about.uid or about.uid != uid:
            raise RequestError(
                f"{each.file} and {first.file} are not of the same cluster: uid "
                f"{about.uid or 'unknown'} and {uid or 'unknown'}. Merge runs of one cluster."
            )
        if part_of := selection_of(each.results.started):
            raise RequestError(
                f"{each.file} is a run of {part_of.globs} only. Merge runs without --node and "
                "--namespace."
            )
        if each.results.comparison is not None:
            raise RequestError(
                f"{each.file} was compared with a baseline. Merge runs without one, and compare "
                "the merged run."
            )
        for node in each.seen:
            if node in of:
                raise RequestError(
                    f"Both {of[node].file} and {each.file} checked node {node}. Merge runs over "
                    "different nodes."
                )
            of[node] = each


def _of_nodes(parts: Sequence[Part]) -> list[ItemResult]:
    """The items of each node from the part that checked it, otherwise from the first part."""
    taken: dict[str, dict[str, ItemResult]] = defaultdict(dict)
    for part in sorted(parts, key=lambda each: not each.seen):
        seen = part.seen
        for item in part.results.items:
            if item.node and (item.node in seen or item.check not in taken[item.node]):
                taken[item.node][item.check] = item
    return [item for _, by_check in sorted(taken.items()) for item in by_check.values()]


def _of_the_cluster(parts: Sequence[Part]) -> list[ItemResult]:
    """For each check about the cluster the worst outcome of a part, with all findings."""
    said: dict[str, list[ItemResult]] = defaultdict(list)
    for part in parts:
        for item in part.results.items:
            if not item.node:
                said[item.check].append(item)
    return [_together(items) for items in said.values()]


def _together(items: Sequence[ItemResult]) -> ItemResult:
    bad = worst(item.outcome for item in items)
    first = next(item for item in items if item.outcome is bad)
    findings = {
        (each.key, str(each.object), each.found): each for item in items for each in item.findings
    }
    most: Counter[str] = Counter()
    for item in items:
        most |= Counter(item.unjudged)
    return replace(
        first,
        findings=list(findings.values()),
        undecided=sorted({name for item in items for name in item.undecided}),
        unjudged=dict(most),
    )


def _coverage(
    some: Sequence[Coverage], parts: Sequence[Part], items: Sequence[ItemResult]
) -> Coverage:
    seen = set().union(*(part.seen for part in parts))
    undecided = {name for item in items for name in item.undecided}
    most: Counter[str] = Counter()
    for each in some:
        most |= Counter(each.unjudged)
    known = max(each.nodes_known for each in some)
    pods_known = max(each.pods_known for each in some)
    left = {n: why for each in some for n, why in each.skipped_nodes.items() if n not in seen}
    return Coverage(
        nodes_seen=len(seen),
        nodes_known=max(known, len({item.node for item in items} - {""})),
        # Each part saw the pods of its own nodes; some may have come and gone between them.
        pods_seen=min(pods_known, sum(each.pods_seen for each in some)),
        pods_known=pods_known,
        services_seen=max(each.services_seen for each in some),
        services_known=max(each.services_known for each in some),
        dns_queries=sum(each.dns_queries for each in some),
        connections=sum(each.connections for each in some),
        sampled_peers=max(each.sampled_peers for each in some),
        helper_pods=max(each.helper_pods for each in some),
        helper_pods_wanted=max(each.helper_pods_wanted for each in some),
        unreachable=sorted({n for each in some for n in each.unreachable} - seen - left.keys()),
        skipped_nodes=left,
        undecided=len(undecided),
        unjudged=dict(most),
    )


def _waivers(records: Iterable[WaiverRecord]) -> list[WaiverRecord]:
    """Each waiver once, in its best state: used rather than unused."""
    order = ("used", "expired", "unused", "not asked")
    found: dict[tuple[str, ...], WaiverRecord] = {}
    for each in records:
        key = (each.check, each.where, each.reason, each.owner, each.until)
        known = found.get(key)
        if known is None:
            found[key] = each
            continue
        state = min(known.state, each.state, key=order.index)
        found[key] = replace(known, state=state, findings=known.findings + each.findings)
    return list(found.values())
