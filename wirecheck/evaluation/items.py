"""From the findings of one check that count to the item that results store. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from wirecheck.catalogue.findings import Finding, Level, Outcome
from wirecheck.catalogue.former_ids import former_key
from wirecheck.catalogue.registry import Check
from wirecheck.catalogue.remedies import filled, placeholders
from wirecheck.evaluation.probe_paths import ProbePaths, with_path
from wirecheck.evaluation.round_result import RoundResult
from wirecheck.evaluation.settling import Healed, Settled
from wirecheck.evaluation.waivers import terms, waiver_for
from wirecheck.model.inspect_arguments import inspect_arguments
from wirecheck.results.ordering import REACHABLE
from wirecheck.results.outcomes import outcome_of
from wirecheck.results.records import FURTHER, FindingRecord, ItemResult, Object, SinceRecord
from wirecheck.snapshot.index import SnapshotIndex
from wirecheck.text import rfc3339

MOST_FINDINGS = 100
"""Of one check on one node: if each of 1,000 nodes lacks all others, there are a million pairs."""

GONE = "before helper pods were created, and no longer afterwards"
UNKNOWN_LATER = "before helper pods were created; whether it still is could not be checked"
HEALING = (
    "A new pod makes the network's agents write rules, routes and devices again. That can repair a "
    "fault and leave its cause: run again without --helper-pods to see whether it comes back."
)


def item_of(
    check: Check,
    name: str,
    rounds: list[RoundResult],
    found: Settled,
    *,
    visit_reason: str,
    index: SnapshotIndex,
    probe_paths: ProbePaths | None = None,
) -> ItemResult:
    """The result of one check from what counts of all its findings."""
    first = rounds[0]
    # Without a finding nobody asked for later rounds, so their errors hide nothing.
    asked = rounds if found.has_any else rounds[:1]
    errors = list(dict.fromkeys(each.error for each in asked if each.error))
    records = _records(check, name, rounds, found, probe_paths)
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
        and check.id != REACHABLE,
        findings=_listed(check, name, records),
        undecided=sorted({str(each.subject) for each in found.undecided.values()}),
        unjudged=dict(first.unjudged + Counter([*_unproven(check, found)])),
        conclusive=first.conclusive + len(records) if check.counts else None,
    )


def _unproven(check: Check, found: Settled) -> Iterator[str]:
    """Why objects are inconclusive over all rounds."""
    yield from filter(None, [found.unknown_before])
    yield from (f"a finding of {check.id} that no second round confirms" for _ in found.unconfirmed)


def _records(
    check: Check,
    node: str,
    rounds: Sequence[RoundResult],
    found: Settled,
    probe_paths: ProbePaths | None,
) -> list[FindingRecord]:
    """The findings that count, those of objects that kept changing, and the flaky ones."""
    counted = list(_counted(check, rounds, found))
    names = rounds[0].names
    shown = counted[:MOST_FINDINGS]
    has_remedies = bool(placeholders(check.remedy)) or any(f.remedy for f, _ in shown)
    records = [record for _, record in counted]
    for at, (finding, record) in enumerate(shown):
        remedy = filled(finding.remedy or check.remedy, names.of(finding)) if has_remedies else ""
        arguments = inspect_arguments(finding.subject, names.subject)
        records[at] = replace(record, remedy=remedy, inspect=arguments)
        if probe_paths and node and finding.sent and (path := probe_paths.of(node, finding.sent)):
            records[at] = with_path(records[at], path)
    return records


def _counted(
    check: Check, rounds: Sequence[RoundResult], found: Settled
) -> Iterator[tuple[Finding, FindingRecord]]:
    for identity, finding in found.lasting.items():
        if identity in found.proven:
            having = sum(identity in each.findings for each in rounds)
            yield finding, replace(_record(check, finding, having), proven=True)
        else:
            yield finding, _record(check, finding, len(rounds))
    for finding, why in found.moving.values():
        record = _record(check, finding, len(rounds))
        said = f"{record.found}, in each of {len(rounds)} rounds, while {why}"
        level = Level.WARN if finding.level is Level.WARN else Level.ERROR
        yield finding, replace(record, level=level, found=said)
    for finding, flaky in found.flaky.values():
        yield finding, replace(_record(check, finding, len(flaky.rounds)), flaky=flaky)
    for each in found.healed.values():
        yield each.finding, _healed(check, each)


def _healed(check: Check, healed: Healed) -> FindingRecord:
    """A finding that was gone when helper pods had been created."""
    record = _record(check, healed.finding, 1)
    later = GONE if healed.is_gone else UNKNOWN_LATER
    return replace(
        record,
        found=f"{record.found}, {later}",
        evidence=[*record.evidence, HEALING],
        proven=healed.is_proven,
        flaky=healed.flaky,
    )


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
    """What the check knows. An impossible time, from a damaged document, is left out."""
    if finding.since is None:
        return None
    try:
        return SinceRecord(rfc3339(finding.since.at), finding.since.by)
    except (OverflowError, ValueError, OSError):
        return None


def _lasting_key(check: Check, finding: Finding) -> str:
    """The key that identifies the finding across runs: pod names change, workloads stay."""
    subject = finding.subject
    name = subject.workload if subject.kind == "Pod" and subject.workload else subject.name
    part = "" if subject.kind == "Pod" else subject.part
    return "/".join(filter(None, [check.id, subject.kind, subject.namespace, name, part]))
