"""Which nodes a further round has to visit, because it may change what was found there. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from wirecheck.catalogue.registry import Check
from wirecheck.results.causes import symptoms
from wirecheck.results.records import FindingRecord, ItemResult


def concerned(items: Sequence[ItemResult], checks: Iterable[Check]) -> frozenset[str]:
    """The nodes to check again because a settling check found something; "" is the API alone.

    A check that compares nodes belongs to the cluster, but its findings may be about nodes. What
    follows from a proven cause needs no further round: the cause explains it, and will not go.
    """
    settling = {check.id: check for check in checks if check.settles}
    found = [each for each in items if each.check in settling and _is_unsettled(each)]
    if found:
        explained = _explained(items, settling)
        found = [each for each in found if (each.check, each.node) not in explained]
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


def _explained(items: Iterable[ItemResult], settling: Collection[str]) -> set[tuple[str, str]]:
    """The symptoms whose cause counts already: each of its findings is proven.

    An object that changed during the round may be inconclusive for another reason than the cause.
    """
    at = {(item.check, item.node): item for item in items}
    return {
        symptom
        for symptom, cause in symptoms(at.values()).items()
        if _counts(at[cause], settling) and not at[symptom].undecided
    }


def _counts(cause: ItemResult, settling: Collection[str]) -> bool:
    """Whether no further round can take the cause away."""
    counts_at_once = cause.check not in settling
    return bool(cause.findings) and (counts_at_once or all(each.proven for each in cause.findings))
