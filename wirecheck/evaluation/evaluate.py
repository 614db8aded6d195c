"""Evaluates checks on observed data, over one round or several. Pure."""

from __future__ import annotations

import hashlib
from collections import ChainMap
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from wirecheck.catalogue.findings import Finding, Level, Outcome
from wirecheck.catalogue.former_ids import former_key
from wirecheck.catalogue.registry import Check
from wirecheck.catalogue.remedies import filled, placeholders
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.evaluation.evidence import RoundEvidence, proxy_age
from wirecheck.evaluation.round_result import Identity, RoundResult, round_result
from wirecheck.evaluation.selection import EVERYTHING, Selected, Selection
from wirecheck.evaluation.settling import Settled, settled
from wirecheck.evaluation.shared_causes import reported_once
from wirecheck.evaluation.waivers import terms, waiver_for
from wirecheck.model.cluster import Cluster
from wirecheck.model.dns_seen import DnsSeen, dns_seen
from wirecheck.model.fingerprint import Fingerprint, fingerprint_of
from wirecheck.model.inspect_arguments import inspect_arguments
from wirecheck.model.node import Node
from wirecheck.model.remedy_names import RemedyNames
from wirecheck.results.measures import NodeMeasures, measured_on
from wirecheck.results.outcomes import outcome_of
from wirecheck.results.records import FURTHER, FindingRecord, ItemResult, Object, SinceRecord
from wirecheck.snapshot.folder import Snapshot, SnapshotError
from wirecheck.snapshot.index import SnapshotIndex, VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import NodeDocument
from wirecheck.snapshot.objects.node import NodeObject

MOST_FINDINGS = 100
"""Of one check on one node: if each of 1,000 nodes lacks all others, there are a million pairs."""


class Evaluation:
    """Evaluates the given checks on one snapshot, node by node.

    At most one node's documents (one per round) are in memory at a time.
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
        self._evidence = [RoundEvidence(cluster) for cluster in self._clusters]
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

    @property
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
        if nodes and nodes[0].document:
            try:
                self.measured[name] = measured_on(nodes[0].document)
                self._dns_seen[name] = dns_seen(nodes[-1])
            except Exception as error:
                # What one node sends must not cost the results of the others.
                nodes = [_unusable(node, error) for node in nodes]
        shared: set[str] = set()
        self._forget(name)
        items = [
            self._result(check, name, nodes, shared)
            for check in self._checks
            if check.scope == "node"
        ]
        yield from reported_once(items, shared)
        if self._compares_nodes:
            self._remember(name, nodes)

    def cluster(self, names: Iterable[str] | None = None) -> Iterator[ItemResult]:
        """Yield one result for each check about the cluster. Nodes are compared among `names`."""
        if self._compares_nodes:
            for name in self.node_names if names is None else names:
                if name not in self._fingerprints[0]:
                    self._remember(name, self._nodes(name))
        self._forget("")
        for check in self._checks:
            if check.scope == "cluster":
                yield self._result(check, "", self._clusters, set())

    def _remember(self, name: str, nodes: Iterable[Node]) -> None:
        """Keep the fingerprints of one node, for each round in which it was visited."""
        for node in nodes:
            fingerprints = self._fingerprints[self._round_of(node)]
            try:
                fingerprints[name] = fingerprint_of(node)
            except Exception as error:
                fingerprints[name] = fingerprint_of(_unusable(node, error))

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

    def _one_node(
        self, number: int, cluster: Cluster, name: str, visit: VisitRecord | None
    ) -> Node:
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
        self, check: Check, name: str, subjects: Sequence[Node | Cluster], shared: set[str]
    ) -> ItemResult:
        """Evaluate one check. `shared` collects errors that other checks of the node also have."""
        results = [self._one_round(check, subject) for subject in subjects[:1]]
        if check.settles and not results[0].skip:
            results += [self._one_round(check, subject) for subject in subjects[1:]]
        shared.update(each.error for each in results if each.is_shared)
        found = settled(check, results)
        self.waits[name] = max(self.waits[name], found.left)
        self.revisited[name] |= found.revisited
        reason = subjects[0].visit.reason if isinstance(subjects[0], Node) else ""
        index = self._snapshot.index
        return _item(check, name, results, found, visit_reason=reason, index=index)

    def _one_round(self, check: Check, subject: Node | Cluster) -> RoundResult:
        at = self._round_of(subject)
        return round_result(check, subject, at + 1, self._evidence[at])

    def _forget(self, name: str) -> None:
        self.waits[name], self.revisited[name] = 0.0, frozenset()


def _unusable(node: Node, error: Exception) -> Node:
    """The node without its document, which makes every check of it an error."""
    what = f"{type(error).__name__}: {error}"[:500]
    visit = VisitRecord(
        VisitStatus.UNRECOGNISED,
        via=node.visit.via,
        reason=f"What {node.name} sent cannot be evaluated ({what}); please report it.",
    )
    return Node(node.cluster, node.object, visit, None)


def visited(
    snapshot: Snapshot, name: str, number: int, visit: VisitRecord
) -> tuple[VisitRecord, NodeDocument | None]:
    """Return the visit with its document. A damaged document counts as a failed visit."""
    if not visit.status.reached:
        return visit, None
    try:
        return visit, snapshot.document(name, number)
    except SnapshotError as error:
        return VisitRecord(VisitStatus.UNRECOGNISED, via=visit.via, reason=str(error)), None
    except Exception as error:
        what = f"{type(error).__name__}: {error}"[:500]
        reason = f"The document of {name} cannot be read ({what}); please report it."
        return VisitRecord(VisitStatus.UNRECOGNISED, via=visit.via, reason=reason), None


def evaluate(
    snapshot: Snapshot, checks: Sequence[Check], nodes: Collection[str] | None = None
) -> Iterator[ItemResult]:
    """Yield every item: node by node, then the cluster's. `nodes` restricts them."""
    evaluation = Evaluation(snapshot, checks)
    names = [name for name in evaluation.node_names if nodes is None or name in nodes]
    for name in names:
        yield from evaluation.node(name)
    yield from evaluation.cluster(names)


def concerned(items: Iterable[ItemResult], checks: Iterable[Check]) -> frozenset[str]:
    """The nodes to check again because a settling check found something; "" is the API alone.

    A check that compares nodes belongs to the cluster, but its findings may be about nodes.
    """
    settling = {check.id: check for check in checks if check.settles}
    found = [each for each in items if each.check in settling and _is_unsettled(each)]
    return frozenset(each.node for each in found) | {
        finding.object.name
        for item in found
        if settling[item.check].compares_nodes
        for finding in item.findings
        if finding.object.kind == "Node" and _is_open(finding)
    }


def _is_unsettled(item: ItemResult) -> bool:
    """Whether a further round may change what the item ends with.

    A flaky finding is settled, unless everything that was found is new in the last round.
    """
    flaky = [each.flaky for each in item.findings if each.flaky]
    is_new = len(flaky) == len(item.findings) and all(e.rounds == e.of[-1:] for e in flaky)
    return bool(item.undecided or (flaky and is_new) or any(map(_is_open, item.findings)))


def _is_open(finding: FindingRecord) -> bool:
    """Whether all rounds have the finding, and none of them proves it."""
    return not finding.proven and finding.flaky is None


def _item(
    check: Check,
    name: str,
    rounds: list[RoundResult],
    found: Settled,
    *,
    visit_reason: str,
    index: SnapshotIndex,
) -> ItemResult:
    """The result of one check from what counts of all its findings."""
    first = rounds[0]
    # Without a finding nobody asked for later rounds, so their errors hide nothing.
    asked = rounds if found.has_any else rounds[:1]
    errors = list(dict.fromkeys(each.error for each in asked if each.error))
    records = _records(check, rounds, found)
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
        undecided=sorted({str(each.subject) for each in found.undecided.values()}),
        unjudged=dict(first.unjudged),
        conclusive=first.conclusive + len(records) if check.counts else None,
    )


def _records(check: Check, rounds: Sequence[RoundResult], found: Settled) -> list[FindingRecord]:
    """The findings that count, those of objects that kept changing, and the flaky ones."""
    records = [
        replace(_record(check, finding, _rounds_with(rounds, identity)), proven=True)
        if identity in found.proven
        else _record(check, finding, len(rounds))
        for identity, finding in found.lasting.items()
    ]
    for finding, why in found.moving.values():
        record = _record(check, finding, len(rounds))
        said = f"{record.found}, in each of {len(rounds)} rounds, while {why}"
        level = Level.WARN if finding.level is Level.WARN else Level.ERROR
        records.append(replace(record, level=level, found=said))
    for finding, flaky in found.flaky.values():
        records.append(replace(_record(check, finding, len(flaky.rounds)), flaky=flaky))
    findings = list(found.lasting.values())
    findings += [finding for finding, _ in (*found.moving.values(), *found.flaky.values())]
    names = rounds[0].names
    remedies = _remedies(check, findings[:MOST_FINDINGS], names)
    records[: len(remedies)] = map(_with_remedy, records, remedies)
    shown = [inspect_arguments(f.subject, names.subject) for f in findings[:MOST_FINDINGS]]
    records[: len(shown)] = map(_with_inspect, records, shown)
    return records


def _rounds_with(rounds: Sequence[RoundResult], identity: Identity) -> int:
    return sum(identity in each.findings for each in rounds)


def _remedies(check: Check, findings: Iterable[Finding], names: RemedyNames) -> list[str]:
    """The remedy for each finding, with its names; none if the check's has no placeholders."""
    found = tuple(findings)
    if not placeholders(check.remedy) and not any(each.remedy for each in found):
        return []
    return [filled(each.remedy or check.remedy, names.of(each)) for each in found]


def _with_inspect(record: FindingRecord, arguments: str) -> FindingRecord:
    return replace(record, inspect=arguments)


def _with_remedy(record: FindingRecord, remedy: str) -> FindingRecord:
    return replace(record, remedy=remedy)


def _listed(check: Check, name: str, records: list[FindingRecord]) -> list[FindingRecord]:
    """The worst findings and, if there are too many, a last one that counts the others."""
    if len(records) <= MOST_FINDINGS:
        return records
    levels = tuple(Level)
    ordered = sorted(
        records, key=lambda r: (r.standing == "waived", r.flaky is not None, levels.index(r.level))
    )
    listed, rest = ordered[: MOST_FINDINGS - 1], ordered[MOST_FINDINGS - 1 :]
    about = Object(kind="Node" if name else "Cluster", name=name, part=FURTHER)
    further = replace(
        rest[0],
        object=about,
        expected="like the listed findings",
        found=f"{len(rest):,} more findings, not listed",
        # Known in another run only if it stands for exactly the same findings.
        key="/".join(filter(None, [check.id, about.kind, name, FURTHER, _digest(rest)])),
        evidence=[],
        remedy="",
        inspect="",
        since=None,
    )
    return [*listed, further]


def _digest(records: Iterable[FindingRecord]) -> str:
    # With former ids, so that a baseline from before the renaming has the same digest.
    keys = sorted(f"{each.level} {former_key(each.key)}" for each in records)
    return hashlib.sha256("\n".join(keys).encode(errors="surrogatepass")).hexdigest()[:12]


def _record(check: Check, finding: Finding, rounds: int) -> FindingRecord:
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
        looks=rounds,
        since=since_record(finding),
    )


def since_record(finding: Finding) -> SinceRecord | None:
    """What the check knows; a time that is none, from a damaged document, is left out."""
    if finding.since is None:
        return None
    try:
        time = datetime.fromtimestamp(finding.since.at, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return SinceRecord(time.strftime("%Y-%m-%dT%H:%M:%SZ"), finding.since.by)


def _lasting_key(check: Check, finding: Finding) -> str:
    """The key that identifies the finding across runs: pod names change, workloads stay."""
    subject = finding.subject
    name = subject.workload if subject.kind == "Pod" and subject.workload else subject.name
    part = "" if subject.kind == "Pod" else subject.part
    return "/".join(filter(None, [check.id, subject.kind, subject.namespace, name, part]))
