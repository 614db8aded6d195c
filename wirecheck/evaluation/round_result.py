"""What one check finds in one round. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from wirecheck.catalogue.findings import (
    Conclusive,
    FactMissingError,
    Finding,
    NotApplicable,
    Ref,
    SharedCauseError,
)
from wirecheck.catalogue.registry import Check
from wirecheck.catalogue.settling import Evidence
from wirecheck.evaluation.evidence import UNKNOWN, Age, RoundEvidence
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.model.remedy_names import RemedyNames
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.snapshot.api_objects import OTHER_LABELS, REPORTED
from wirecheck.snapshot.index import RoundRecord

Identity = tuple[Ref, str, str]

BY_SELECTORS = frozenset({"coredns", "dns", "endpoints", "firewall", "reachability", "services"})
"""Groups of checks that depend on the labels of objects, and on annotations of pods."""
LABELS = frozenset({"labels", "unschedulable"})


@dataclass
class RoundResult:
    """The findings of one check in one round."""

    names: RemedyNames
    number: int
    """The number of the round in the snapshot, from 1."""
    record: RoundRecord
    findings: dict[Identity, Finding] = field(default_factory=dict)
    undecided: dict[Identity, Finding] = field(default_factory=dict)
    """Those about objects that changed during the round."""
    ages: dict[Identity, Age] = field(default_factory=dict)
    revisited: dict[Identity, frozenset[str]] = field(default_factory=dict)
    """The other nodes that a further round has to visit for each finding."""
    unjudged: Counter[str] = field(default_factory=Counter)
    conclusive: int = 0
    """The number of objects that the check could decide and that are as expected, if it counts."""
    error: str = ""
    is_shared: bool = False
    """Whether the error is a `SharedCauseError`."""
    skip: str = ""

    def has(self, identity: Identity) -> bool:
        """Return whether the round has the finding, decided or not."""
        return identity in self.findings or identity in self.undecided

    def age(self, identity: Identity) -> Age:
        """Return how old the finding is known to be."""
        return self.ages.get(identity, UNKNOWN)


def round_result(
    check: Check, subject: Node | Cluster, number: int, evidence: RoundEvidence
) -> RoundResult:
    """Run the check's function once. Findings before an error are kept."""
    cluster = subject if isinstance(subject, Cluster) else subject.cluster
    result = RoundResult(RemedyNames(subject), number, cluster.round)
    try:
        for finding in check.function(subject):
            if isinstance(finding, Conclusive):
                result.conclusive += 1
                continue
            touched = {finding.subject.object_key, *(c.object_key for c in finding.concerns)}
            identity = finding.identity
            if finding.inconclusive:
                result.unjudged[finding.inconclusive] += 1
                continue
            if check.settles and any(_counts(check, key, cluster) for key in touched):
                result.undecided[identity] = finding
            else:
                result.findings[identity] = finding
            if check.settles:
                result.ages[identity] = evidence.of(check, finding, subject)
                result.revisited[identity] = evidence.revisited(check, finding)
    except NotApplicable as reason:
        result.skip = str(reason)
    except FactMissingError as reason:
        result.error = str(reason)
        result.is_shared = isinstance(reason, SharedCauseError)
    except Exception as error:
        # What one node's data does to one check must not cost the results of all others.
        result.error = (
            f"{check.id} could not be evaluated: {type(error).__name__}: {error}. This is a bug "
            "in wirecheck or a damaged snapshot; please report it."
        )
    return result


def _counts(check: Check, key: tuple[str, str, str], cluster: ClusterSeen) -> bool:
    """Whether a change of the object during the round concerns what the check reads of it."""
    fields = cluster.changed_fields.get(key)
    if fields is None:
        return False
    ignored = {OTHER_LABELS}
    if Evidence.SET_UP in check.evidence:
        ignored |= REPORTED - LABELS
    if check.group not in BY_SELECTORS:
        ignored |= LABELS
        if key[0] == "Pod":
            ignored.add("annotations")
    # A change of an unknown kind counts.
    return not fields or bool(fields - ignored)
