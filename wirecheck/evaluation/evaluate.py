"""Evaluates checks on observed data, over one round or several. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import ChainMap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from msgspec.structs import replace

from wirecheck.catalogue.registry import Check
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.evaluation.before_helper_pods import healed, is_read_before, unknown_before
from wirecheck.evaluation.evidence import RoundEvidence, proxy_age
from wirecheck.evaluation.items import item_of
from wirecheck.evaluation.probe_paths import ProbePaths
from wirecheck.evaluation.round_result import RoundResult, round_result
from wirecheck.evaluation.selection import EVERYTHING, Selected, Selection
from wirecheck.evaluation.settling import settled
from wirecheck.evaluation.shared_causes import reported_once
from wirecheck.model.cluster import Cluster
from wirecheck.model.dns_seen import DnsSeen, dns_seen
from wirecheck.model.fingerprint import Fingerprint, fingerprint_of
from wirecheck.model.node import Node
from wirecheck.model.path_world import PathNodes
from wirecheck.results.measures import NodeMeasures, measured_on
from wirecheck.results.records import ItemResult
from wirecheck.snapshot.folder import Snapshot, SnapshotError
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import NodeDocument
from wirecheck.snapshot.objects.node import NodeObject

NO_VISIT = VisitRecord(VisitStatus.NO_ACCESS, reason="It was not visited.")


@dataclass(frozen=True, slots=True)
class _Before:
    """The round before helper pods were created."""

    cluster: Cluster
    evidence: RoundEvidence
    fingerprints: dict[str, Fingerprint]


class Evaluation:
    """Evaluates the given checks on one snapshot, node by node.

    At most one node's documents (one per round) are in memory at a time, and those of a few nodes
    that packets of its failed probes came to.
    """

    def __init__(
        self, snapshot: Snapshot, checks: Sequence[Check], selection: Selection = EVERYTHING
    ) -> None:
        self._snapshot = snapshot
        readers = ReaderCache()
        self._fingerprints: list[dict[str, Fingerprint]] = [{} for _ in snapshot.index.looks]
        self._dns_seen: dict[str, DnsSeen] = {}
        self._clusters = [
            Cluster(
                snapshot.api(number),
                snapshot.index,
                record,
                # A view that fills as nodes are evaluated; the indexes are built only once. A node
                # that was not visited again keeps its fingerprint.
                fingerprints=ChainMap(*reversed(self._fingerprints[:number])),
                dns_seen=self._dns_seen,
                readers=readers,
            )
            for number, record in enumerate(snapshot.index.looks, start=1)
        ]
        self._evaluated: Sequence[Node] = ()
        self._next = ""
        """The node that is evaluated next."""
        self._read_ahead: dict[int, Node] = {}
        """By round, that node if packets of the present one came to it: it is not read again."""
        self._paths = [
            each.kept(PathNodes, partial(PathNodes, each, partial(self._seen_in, number)))
            for number, each in enumerate(self._clusters, start=1)
        ]
        # A finding that counts is in the first round, which visits both ends of its path.
        self._probe_paths = ProbePaths(self._clusters[0]) if self._clusters else None
        self._evidence = [RoundEvidence(cluster) for cluster in self._clusters]
        self._before = _before_helper_pods(snapshot, self._clusters, readers)
        selected = Selected(selection, self._clusters[0] if self._clusters else None)
        self._checks = tuple(map(selected.applied, checks))
        self.left_out = selected.left_out
        """The findings so far about objects that are not selected."""
        self._compares_nodes = any(check.compares_nodes for check in checks)
        self.waits: dict[str, float] = {}
        """By node, or "" for the cluster: the seconds until a further round may prove its findings;
        infinite if only an agreeing round can confirm them."""
        self.revisited: dict[str, frozenset[str]] = {}
        """By the same names: the other nodes that a further round has to visit for them."""
        self.measured: dict[str, NodeMeasures] = {}
        """The values measured on the evaluated nodes."""

    @cached_property
    def node_names(self) -> tuple[str, ...]:
        """Every node that the API listed in the first round, sorted."""
        return tuple(sorted(self._clusters[0].nodes)) if self._clusters else ()

    @property
    def first_round(self) -> Cluster:
        """The cluster in the round that visits every node."""
        return self._clusters[0]

    def node(self, name: str) -> Iterator[ItemResult]:
        """Yield one result for each check about nodes."""
        nodes = self._nodes(name)
        self._next = next(iter(self.node_names[bisect_right(self.node_names, name) :]), "")
        if nodes and nodes[0].document:
            try:
                self.measured[name] = measured_on(nodes[0].document)
                self._dns_seen[name] = dns_seen(nodes[-1])
            except Exception as error:
                # What one node sends must not cost the results of the others.
                nodes = [_unusable(node, error) for node in nodes]
        shared: set[str] = set()
        self._forget(name)
        self._evaluated = nodes
        before = self._node_before(name)
        items = [
            self._result(check, name, nodes, shared, before)
            for check in self._checks
            if check.scope == "node"
        ]
        self._evaluated = ()
        for each in self._paths:
            each.forget()
        yield from reported_once(items, shared)
        if self._compares_nodes:
            self._remember(name, nodes)
            self._remember_before(name, before)

    def cluster(self, names: Iterable[str] | None = None) -> Iterator[ItemResult]:
        """Yield one result for each check about the cluster. Nodes are compared among `names`."""
        if self._compares_nodes:
            for name in self.node_names if names is None else names:
                if name not in self._fingerprints[0]:
                    self._remember(name, self._nodes(name))
                    self._remember_before(name, self._node_before(name))
        self._forget("")
        before = self._before.cluster if self._before else None
        for check in self._checks:
            if check.scope == "cluster":
                yield self._result(check, "", self._clusters, set(), before)

    def _remember(self, name: str, nodes: Iterable[Node]) -> None:
        """Keep the fingerprints of one node, for each round in which it was visited."""
        for node in nodes:
            fingerprints = self._fingerprints[self._round_of(node)]
            try:
                fingerprints[name] = fingerprint_of(node)
            except Exception as error:
                fingerprints[name] = fingerprint_of(_unusable(node, error))

    def _remember_before(self, name: str, node: Node | None) -> None:
        if self._before and node:
            try:
                self._before.fingerprints[name] = fingerprint_of(node)
            except Exception as error:
                self._before.fingerprints[name] = fingerprint_of(_unusable(node, error))

    def _node_before(self, name: str) -> Node | None:
        """The node as it was before helper pods were created, if it was read then."""
        before = self._before
        visit = before.cluster.visit_to(name) if before else None
        if before is None or visit is None or not visit.status.reached:
            return None
        visit, document = visited(self._snapshot, name, 0, visit)
        node = Node(before.cluster, before.cluster.nodes[name], visit, document)
        before.evidence.proxies[name] = proxy_age(node)
        return node

    def _round_of(self, subject: Node | Cluster) -> int:
        """The index of the subject's round."""
        cluster = subject if isinstance(subject, Cluster) else subject.cluster
        return next(at for at, each in enumerate(self._clusters) if each is cluster)

    def _nodes(self, name: str) -> list[Node]:
        """The node in each round that visited it, and in the first round in any case."""
        seen = []
        for number, cluster in enumerate(self._clusters, start=1):
            visit = cluster.visit_to(name)
            if number == 1 or visit is not None:
                seen.append(self._one_node(number, cluster, name, visit))
        return seen

    def _seen_in(self, number: int, name: str) -> Node:
        """The node in a round, for the paths of packets that come to it."""
        cluster = self._clusters[number - 1]
        for each in self._evaluated:
            if each.name == name and each.cluster is cluster:
                return each
        visit, document = visited(self._snapshot, name, number, cluster.visit_to(name) or NO_VISIT)
        node = Node(cluster, cluster.nodes[name], visit, document)
        if name == self._next and cluster.visit_to(name):
            self._read_ahead[number] = node
        return node

    def _one_node(
        self, number: int, cluster: Cluster, name: str, visit: VisitRecord | None
    ) -> Node:
        known = self._read_ahead.pop(number, None)
        if known and known.name == name:
            self._evidence[number - 1].proxies[name] = proxy_age(known)
            return known
        visit = visit or VisitRecord(
            VisitStatus.UNREACHABLE, reason=f"The snapshot has no visit to {name}."
        )
        visit, document = visited(self._snapshot, name, number, visit)
        node = Node(cluster, cluster.nodes.get(name) or self._deleted(name), visit, document)
        self._evidence[number - 1].proxies[name] = proxy_age(node)
        return node

    def _deleted(self, name: str) -> NodeObject:
        """A node that only the first round lists, as one that is being deleted."""
        node = self._clusters[0].nodes[name]
        metadata = replace(node.metadata, deletion_timestamp="meanwhile")
        return replace(node, metadata=metadata)

    def _result(
        self,
        check: Check,
        name: str,
        subjects: Sequence[Node | Cluster],
        shared: set[str],
        before: Node | Cluster | None,
    ) -> ItemResult:
        """Evaluate one check. `shared` collects errors that other checks of the node also have.

        `before` is the subject as it was before helper pods were created.
        """
        first = self._one_round(check, subjects[0])
        results = [first]
        if check.settles and not first.skip:
            results += [self._one_round(check, subject) for subject in subjects[1:]]
        shared.update(each.error for each in results if each.is_shared)
        found = settled(check, results)
        if self._before and before and is_read_before(check):
            earlier = round_result(check, before, 0, self._before.evidence)
            found.healed = healed(check, earlier, results)
            found.unknown_before = unknown_before(earlier, results)
        self.waits[name] = max(self.waits[name], found.left)
        self.revisited[name] |= found.revisited
        reason = subjects[0].visit.reason if isinstance(subjects[0], Node) else ""
        index = self._snapshot.index
        return item_of(
            *(check, name, results, found),
            visit_reason=reason,
            index=index,
            probe_paths=self._probe_paths,
        )

    def _one_round(self, check: Check, subject: Node | Cluster) -> RoundResult:
        at = self._round_of(subject)
        return round_result(check, subject, at + 1, self._evidence[at])

    def _forget(self, name: str) -> None:
        self.waits[name], self.revisited[name] = 0.0, frozenset()


def _before_helper_pods(
    snapshot: Snapshot, later: Sequence[Cluster], readers: ReaderCache
) -> _Before | None:
    record = snapshot.index.before
    if record is None or not later:
        return None
    fingerprints: dict[str, Fingerprint] = {}
    cluster = Cluster(
        snapshot.api(0),
        snapshot.index,
        record,
        fingerprints=fingerprints,
        dns_seen=later[0].dns_seen,
        readers=readers,
    )
    return _Before(cluster, RoundEvidence(cluster), fingerprints)


def _unusable(node: Node, error: Exception) -> Node:
    """The node without its document, which makes every check of it an error."""
    reason = f"What {node.name} sent cannot be evaluated ({_shown(error)}); please report it."
    return Node(node.cluster, node.object, _unrecognised(node.visit, reason), None)


def visited(
    snapshot: Snapshot, name: str, number: int, visit: VisitRecord
) -> tuple[VisitRecord, NodeDocument | None]:
    """Return the visit with its document. A damaged document counts as a failed visit."""
    if not visit.status.reached:
        return visit, None
    try:
        return visit, snapshot.document(name, number)
    except SnapshotError as error:
        return _unrecognised(visit, str(error)), None
    except Exception as error:
        reason = f"The document of {name} cannot be read ({_shown(error)}); please report it."
        return _unrecognised(visit, reason), None


def _unrecognised(visit: VisitRecord, reason: str) -> VisitRecord:
    return VisitRecord(VisitStatus.UNRECOGNISED, via=visit.via, reason=reason)


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]


def evaluate(
    snapshot: Snapshot, checks: Sequence[Check], nodes: Collection[str] | None = None
) -> Iterator[ItemResult]:
    """Yield every item: node by node, then the cluster's. `nodes` restricts them."""
    evaluation = Evaluation(snapshot, checks)
    names = [name for name in evaluation.node_names if nodes is None or name in nodes]
    for name in names:
        yield from evaluation.node(name)
    yield from evaluation.cluster(names)
