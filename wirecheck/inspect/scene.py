"""The input of a view: the first round of a snapshot, which visits every node, and findings.

The findings are those of all rounds. A finding that counts is in the first round too, so the
drawing shows the state that it describes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.profiles import PATHS
from wirecheck.catalogue.registry import Check, load
from wirecheck.evaluation.evaluate import Evaluation, visited
from wirecheck.inspect.parts import FindingView, Source
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.report.sentences import since_words
from wirecheck.results.causes import ItemKey, symptoms
from wirecheck.results.ordering import WORST_FIRST
from wirecheck.results.records import ItemResult
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import VisitRecord, VisitStatus


@dataclass(frozen=True)
class Scene:
    """The first round of a snapshot."""

    snapshot: Snapshot

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster. Raises SnapshotError if the API objects are damaged."""
        return Cluster(self.snapshot.api(1), self.snapshot.index, self.snapshot.index.looks[0])

    @property
    def source(self) -> Source:
        """The snapshot that the view is made from."""
        index = self.snapshot.index
        return Source(
            cluster=index.cluster.title,
            version=index.cluster.version,
            time=self.cluster.round.started,
            looks=len(index.looks),
        )

    def node(self, name: str) -> Node:
        """The node with what was seen on it. A damaged document counts as a failed visit."""
        visit = self.cluster.visit_to(name) or VisitRecord(
            VisitStatus.NO_ACCESS, reason=f"{name} was not visited."
        )
        visit, document = visited(self.snapshot, name, 1, visit)
        return Node(self.cluster, self.cluster.nodes[name], visit, document)

    def evaluated(self, nodes: Collection[str], groups: Collection[str] = ()) -> list[ItemResult]:
        """The items of the checks of `groups` (default: all) on `nodes` and on the cluster."""
        checks = [
            each for each in load() if (not groups or each.group in groups) and each.id not in PATHS
        ]
        return list(_items(self.snapshot, checks, sorted(nodes)))


def _items(
    snapshot: Snapshot, checks: Collection[Check], nodes: Collection[str]
) -> Iterator[ItemResult]:
    evaluation = Evaluation(snapshot, tuple(checks))
    for name in nodes:
        yield from evaluation.node(name)
    yield from evaluation.cluster(nodes)


def findings_of(items: Collection[ItemResult]) -> Iterator[FindingView]:
    """The findings, root causes first, and the reasons of errors.

    Errors that only repeat a failed visit are left out.
    """
    causes = symptoms(items)
    for item in sorted(items, key=lambda each: _gravity(each, causes)):
        follows_from, _ = causes.get((item.check, item.node), ("", ""))
        for each in item.findings:
            yield FindingView(
                check=item.check,
                node=item.node,
                level=str(each.level),
                outcome=str(item.outcome),
                kind=each.object.kind,
                namespace=each.object.namespace,
                name=each.object.name,
                part=each.object.part,
                expected=each.expected,
                found=f"{each.found} (flaky: {each.flaky})" if each.flaky else each.found,
                evidence=list(each.evidence),
                since=since_words(each),
                follows_from=follows_from,
            )
        if item.outcome is Outcome.ERROR and item.reason and not item.folded:
            yield FindingView(
                check=item.check,
                node=item.node,
                level="error",
                outcome=str(item.outcome),
                kind="Node" if item.node else "Cluster",
                name=item.node,
                expected="a round that can be evaluated",
                found=item.reason,
                follows_from=follows_from,
            )


def _gravity(item: ItemResult, causes: Mapping[ItemKey, ItemKey]) -> tuple[int, bool]:
    return WORST_FIRST.index(item.outcome), (item.check, item.node) in causes
