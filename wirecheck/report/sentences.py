"""Sentences that several reports share."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wirecheck.findings import Level, Outcome
from wirecheck.results import ClusterRecord, Coverage, FindingRecord
from wirecheck.snapshot.peers import sampled_peers

OUTCOME_WORDS = {
    Outcome.FAIL: "failed",
    Outcome.ERROR: "could not be judged",
    Outcome.WARN: "warned",
    Outcome.WAIVED: "waived",
    Outcome.KNOWN: "known from the baseline",
    Outcome.SKIP: "skipped",
    Outcome.PASS: "passed",
}


def plural(number: int, word: str, words: str = "") -> str:
    """`1 node`, `6,120 pods`."""
    return f"{number:,} {word if number == 1 else words or word + 's'}"


def listed(names: Sequence[str], most: int) -> str:
    """`a, b and 7 more`."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


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


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 20 s`, `1 h 2 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def moment(time: str) -> str:
    """RFC 3339 in UTC as people read it; anything else as it is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)(\.\d+)?(Z|\+00:00)", time)
    return f"{found[1]} {found[2]} UTC" if found else time
