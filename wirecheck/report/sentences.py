"""Sentences that several reports share."""

from __future__ import annotations

from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.catalogue.sampled_peers import sampled_peers
from wirecheck.results.records import ClusterRecord, Coverage, FindingRecord
from wirecheck.text import plural

OUTCOME_WORDS = {
    Outcome.FAIL: "failed",
    Outcome.ERROR: "could not be judged",
    Outcome.WARN: "warned",
    Outcome.WAIVED: "waived",
    Outcome.KNOWN: "known from the baseline",
    Outcome.SKIP: "skipped",
    Outcome.PASS: "passed",
}


def coverage_sentence(coverage: Coverage) -> str:
    """How much was looked at, and what was not: the last line but one of every run."""
    services = plural(coverage.services_known, "Service")
    if coverage.services_seen != coverage.services_known:
        services = f"{coverage.services_seen:,} of {services}"
    looked = [
        f"{coverage.nodes_seen:,} of {plural(coverage.nodes_known, 'node')}",
        f"{coverage.pods_seen:,} of {plural(coverage.pods_known, 'pod')}",
        services,
    ]
    if coverage.dns_queries:
        looked.append(plural(coverage.dns_queries, "DNS query", "DNS queries"))
    if coverage.sampled_peers:
        others = coverage.nodes_known - 1
        looked.append(f"connections of each node to {coverage.sampled_peers} of {others:,} others")
    if coverage.helper_pods_wanted:
        looked.append(_between_helpers(coverage))
    missing = [
        plural(len(coverage.unreachable), "node") + " unreachable",
        plural(len(coverage.skipped_nodes), "node") + " left out",
        plural(coverage.undecided, "object") + " undecided",
        plural(sum(coverage.unjudged.values()), "object") + " not judged",
    ]
    gaps = [gap for gap in missing if not gap.startswith("0 ")]
    return "; ".join(["looked at " + ", ".join(looked), *gaps])


def _between_helpers(coverage: Coverage) -> str:
    """`large messages between helper pods on 3 of 3 nodes, in all pairs`."""
    of, most = coverage.helper_pods, sampled_peers(coverage.helper_pods)
    how = f"from each to {most} of {of - 1:,} others" if most else "in all pairs"
    nodes = f"{of:,} of {plural(coverage.helper_pods_wanted, 'node')}"
    return f"large messages between helper pods on {nodes} ({how})"


def cluster_sentence(cluster: ClusterRecord) -> str:
    """`prod, Kubernetes v1.34.4, kube-proxy in iptables mode`."""
    parts = [cluster.name or "unnamed cluster"]
    if cluster.version:
        parts.append(f"Kubernetes {cluster.version}")
    if cluster.proxy_modes:
        parts.append(f"kube-proxy in {' and '.join(cluster.proxy_modes)} mode")
    return ", ".join(parts)


def object_name(finding: FindingRecord) -> str:
    """`Pod shop/web-0 eth0 (Deployment/web)`."""
    about = finding.object
    return f"{about} ({about.workload})" if about.workload else str(about)


def level_outcome(level: Level) -> Outcome:
    """The outcome that a finding of this level alone would give."""
    return Outcome(level.value)
