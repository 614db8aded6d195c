"""From a check and what was seen to a result, over one look or several. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from wirecheck.catalogue.findings import (
    FactMissingError,
    Finding,
    Level,
    NotApplicable,
    Outcome,
    Ref,
)
from wirecheck.catalogue.former_ids import former_key
from wirecheck.catalogue.registry import Check
from wirecheck.catalogue.remedies import filled, placeholders
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.evaluation.waivers import terms, waiver_for
from wirecheck.model.cluster import Cluster
from wirecheck.model.fingerprint import Fingerprint, fingerprint_of
from wirecheck.model.node import Node
from wirecheck.model.remedy_names import RemedyNames
from wirecheck.results.measures import NodeMeasures, measured_on
from wirecheck.results.outcomes import outcome_of
from wirecheck.results.records import FURTHER, FindingRecord, ItemResult, Object
from wirecheck.snapshot.folder import Snapshot, SnapshotError
from wirecheck.snapshot.index import SnapshotIndex, VisitRecord, VisitStatus
from wirecheck.snapshot.objects.node import NodeObject

MOST_FINDINGS = 100
"""Of one check on one node: where each of 1,000 nodes lacks all others, pairs are a million."""

Identity = tuple[Ref, str, str]


@dataclass
class Judgement:
    """What one check said in one look."""

    names: RemedyNames
    findings: dict[Identity, Finding] = field(default_factory=dict)
    undecided: dict[Identity, Finding] = field(default_factory=dict)
    unjudged: Counter[str] = field(default_factory=Counter)
    error: str = ""
    skip: str = ""


class Evaluation:
    """Judges one snapshot with the given checks, node after node.

    At most one node's documents (one for each look) are held at a time.
    """

    def __init__(self, snapshot: Snapshot, checks: Sequence[Check]) -> None:
        self._snapshot = snapshot
        self._checks = tuple(checks)
        looks = enumerate(snapshot.index.looks, start=1)
        readers = ReaderCache()
        self._clusters = [
            Cluster(snapshot.api(number), snapshot.index, look, readers=readers)
            for number, look in looks
        ]
        self._fingerprints: list[dict[str, Fingerprint]] = [{} for _ in self._clusters]
        self._compares_nodes = any(check.compares_nodes for check in checks)
        self.measured: dict[str, NodeMeasures] = {}
        """What was measured on the nodes that were judged."""

    @property
    def node_names(self) -> tuple[str, ...]:
        """Every node that the API listed in the first look, sorted."""
        return tuple(sorted(self._clusters[0].nodes)) if self._clusters else ()

    @property
    def first_round(self) -> Cluster:
        """The cluster in the look that visits every node."""
        return self._clusters[0]

    def node(self, name: str) -> Iterator[ItemResult]:
        """One result for each check about nodes."""
        nodes = self._nodes(name)
        if nodes and nodes[0].document:
            self.measured[name] = measured_on(nodes[0].document)
        for check in self._checks:
            if check.scope == "node":
                yield self._result(check, name, nodes)
        if self._compares_nodes:
            self._remember(name, nodes)

    def cluster(self, names: Iterable[str] | None = None) -> Iterator[ItemResult]:
        """One result for each check about the cluster; nodes are compared among `names`."""
        if self._compares_nodes:
            for name in self.node_names if names is None else names:
                if name not in self._fingerprints[0]:
                    self._remember(name, self._nodes(name))
        clusters = self._with_fingerprints()
        for check in self._checks:
            if check.scope == "cluster":
                yield self._result(check, "", clusters)

    def _remember(self, name: str, nodes: Iterable[Node]) -> None:
        """Keep the fingerprints of one node, for each look in which it was seen."""
        for node in nodes:
            at = next(at for at, each in enumerate(self._clusters) if each is node.cluster)
            self._fingerprints[at][name] = fingerprint_of(node)

    def _with_fingerprints(self) -> list[Cluster]:
        """The cluster in each look; a node that was not visited again is as it was."""
        known: dict[str, Fingerprint] = {}
        found = []
        for cluster, fingerprints in zip(self._clusters, self._fingerprints, strict=True):
            known = {**known, **fingerprints}
            found.append(dataclasses.replace(cluster, fingerprints=known))
        return found

    def _nodes(self, name: str) -> list[Node]:
        """The node in each look that visited it; in the first look also where none did."""
        seen = []
        for number, cluster in enumerate(self._clusters, start=1):
            visit = cluster.round.visits.get(name)
            if number == 1 or visit is not None:
                seen.append(self._one_node(number, cluster, name, visit))
        return seen

    def _one_node(
        self, number: int, cluster: Cluster, name: str, visit: VisitRecord | None
    ) -> Node:
        visit = visit or VisitRecord(
            VisitStatus.UNREACHABLE, reason=f"The snapshot has no visit to {name}."
        )
        document = None
        if visit.status.reached:
            try:
                document = self._snapshot.document(name, number)
            except SnapshotError as error:
                visit = VisitRecord(VisitStatus.UNRECOGNISED, via=visit.via, reason=str(error))
        return Node(cluster, cluster.nodes.get(name) or self._deleted(name), visit, document)

    def _deleted(self, name: str) -> NodeObject:
        """A node that the first look still listed, as one that is being deleted."""
        node = self._clusters[0].nodes[name]
        metadata = replace(node.metadata, deletion_timestamp="meanwhile")
        return replace(node, metadata=metadata)

    def _result(self, check: Check, name: str, subjects: Sequence[Node | Cluster]) -> ItemResult:
        looks = [_judgement(check, subject) for subject in subjects[:1]]
        if check.settles and (looks[0].findings or looks[0].undecided):
            looks += [_judgement(check, subject) for subject in subjects[1:]]
        reason = subjects[0].visit.reason if isinstance(subjects[0], Node) else ""
        return _settled(check, name, looks, reason, self._snapshot.index)


def evaluate(
    snapshot: Snapshot, checks: Sequence[Check], nodes: Collection[str] | None = None
) -> Iterator[ItemResult]:
    """Every item of the run: node after node, then the cluster's. `nodes` narrows it down."""
    evaluation = Evaluation(snapshot, checks)
    names = [name for name in evaluation.node_names if nodes is None or name in nodes]
    for name in names:
        yield from evaluation.node(name)
    yield from evaluation.cluster(names)


def concerned(items: Iterable[ItemResult], checks: Iterable[Check]) -> frozenset[str]:
    """Nodes to look at again, because a settling check found something; "" is the API alone."""
    settling = {check.id for check in checks if check.settles}
    return frozenset(
        item.node for item in items if item.check in settling and (item.findings or item.undecided)
    )


def _judgement(check: Check, subject: Node | Cluster) -> Judgement:
    """Run the check's function once. What it found before it stopped with an error is kept."""
    said = Judgement(RemedyNames(subject))
    changed = subject.changed if isinstance(subject, Cluster) else subject.cluster.changed
    try:
        for finding in check.function(subject):
            touched = {finding.subject.object_key, *(c.object_key for c in finding.concerns)}
            if finding.inconclusive:
                said.unjudged[finding.inconclusive] += 1
            elif check.settles and touched & changed:
                said.undecided[finding.identity] = finding
            else:
                said.findings[finding.identity] = finding
    except NotApplicable as reason:
        said.skip = str(reason)
    except FactMissingError as reason:
        said.error = str(reason)
    except Exception as error:
        # What one node's data does to one check must not cost the results of all others.
        said.error = (
            f"{check.id} could not be worked out from what was seen: {type(error).__name__}: "
            f"{error}. This is a fault of wirecheck or of the snapshot; please report it."
        )
    return said


def _settled(
    check: Check, name: str, looks: list[Judgement], visit_reason: str, index: SnapshotIndex
) -> ItemResult:
    """Findings count if every look has them; undecided is what some look could not decide."""
    first = looks[0]
    every = [{**look.findings, **look.undecided} for look in looks]
    lasting = {
        identity: finding
        for identity, finding in every[0].items()
        if all(identity in each for each in every)
    }
    counting = {i: f for i, f in lasting.items() if all(i in look.findings for look in looks)}
    undecided = sorted({str(f.subject) for i, f in lasting.items() if i not in counting})
    errors = list(dict.fromkeys(look.error for look in looks if look.error))
    records = [_record(check, finding, len(looks)) for finding in counting.values()]
    remedies = _remedies(check, list(counting.values())[:MOST_FINDINGS], first.names)
    records[: len(remedies)] = map(_with_remedy, records, remedies)
    waivers = [waiver_for(check.id, name, record, index) for record in records]
    records = [
        replace(record, standing="waived") if waiver else record
        for record, waiver in zip(records, waivers, strict=True)
    ]
    outcome = outcome_of(records, error=bool(errors), skip=bool(first.skip))
    reason = errors[0] if errors else first.skip
    if outcome is Outcome.WAIVED:
        reason = "; ".join(dict.fromkeys(terms(waiver) for waiver in waivers if waiver))
    return ItemResult(
        check=check.id,
        node=name,
        outcome=outcome,
        reason=reason,
        folded=bool(visit_reason)
        and visit_reason in (first.error, first.skip)
        and check.id != "nodes.reachable",
        findings=_listed(check, name, records),
        undecided=undecided,
        unjudged=dict(first.unjudged),
    )


def _remedies(check: Check, findings: Iterable[Finding], names: RemedyNames) -> list[str]:
    """The check's remedy for each finding, with its names; none if it has no placeholders."""
    if not placeholders(check.remedy):
        return []
    return [filled(check.remedy, names.of(finding)) for finding in findings]


def _with_remedy(record: FindingRecord, remedy: str) -> FindingRecord:
    return replace(record, remedy=remedy)


def _listed(check: Check, name: str, records: list[FindingRecord]) -> list[FindingRecord]:
    """The worst of them, and a last one that counts the others where there are too many."""
    if len(records) <= MOST_FINDINGS:
        return records
    levels = tuple(Level)
    ordered = sorted(records, key=lambda r: (r.standing == "waived", levels.index(r.level)))
    listed, rest = ordered[: MOST_FINDINGS - 1], ordered[MOST_FINDINGS - 1 :]
    about = Object(kind="Node" if name else "Cluster", name=name, part=FURTHER)
    further = replace(
        rest[0],
        object=about,
        expected="as of those that are listed",
        found=f"{len(rest):,} more findings, which are not listed",
        # Known in another run only if it stands for the very same ones.
        key="/".join(filter(None, [check.id, about.kind, name, FURTHER, _digest(rest)])),
        evidence=[],
        remedy="",
    )
    return [*listed, further]


def _digest(records: Iterable[FindingRecord]) -> str:
    # With former ids, so that a baseline from before the renaming has the same digest.
    keys = sorted(f"{each.level} {former_key(each.key)}" for each in records)
    return hashlib.sha256("\n".join(keys).encode(errors="surrogatepass")).hexdigest()[:12]


def _record(check: Check, finding: Finding, looks: int) -> FindingRecord:
    subject = finding.subject
    return FindingRecord(
        object=Object(
            kind=subject.kind,
            name=subject.name,
            namespace=subject.namespace,
            part=subject.part,
            uid=subject.uid,
            workload=subject.workload,
        ),
        level=finding.level,
        expected=finding.expected,
        found=finding.found,
        key=_lasting_key(check, finding),
        evidence=list(finding.evidence),
        looks=looks,
    )


def _lasting_key(check: Check, finding: Finding) -> str:
    """What identifies the finding in another run: pods are renamed, their workload is not."""
    subject = finding.subject
    name = subject.workload if subject.kind == "Pod" and subject.workload else subject.name
    part = "" if subject.kind == "Pod" else subject.part
    return "/".join(filter(None, [check.id, subject.kind, subject.namespace, name, part]))
