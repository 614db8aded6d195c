"""Words and sentences that several reports share."""

from __future__ import annotations

from collections.abc import Sequence

from wirecheck.catalogue.sampled_peers import sampled_peers
from wirecheck.results.records import (
    ClusterRecord,
    Coverage,
    FindingRecord,
    RunEnded,
    RunStarted,
)
from wirecheck.results.tally import WORDS
from wirecheck.text import duration, listed, moment, plural

OUTCOME_WORDS = WORDS
"""The words of the verdict, for one check on some nodes too."""


def coverage_sentence(coverage: Coverage, effort: str = "") -> str:
    """`Checked 3/3 nodes, 37/37 pods, 25/25 Services; 6 objects inconclusive`.

    `effort` follows what was checked: `in 3 rounds (0.5 s)`.
    """
    checked = [
        f"{coverage.nodes_seen:,}/{plural(coverage.nodes_known, 'node')}",
        f"{coverage.pods_seen:,}/{plural(coverage.pods_known, 'pod')}",
        f"{coverage.services_seen:,}/{plural(coverage.services_known, 'Service')}",
    ]
    if coverage.dns_queries:
        checked.append(plural(coverage.dns_queries, "DNS query", "DNS queries"))
    if coverage.sampled_peers:
        others = coverage.nodes_known - 1
        checked.append(f"connections from each node to {coverage.sampled_peers}/{others:,} others")
    if coverage.helper_pods_wanted:
        checked.append(_between_helpers(coverage))
    missing = [
        plural(len(coverage.unreachable), "node") + " unreachable",
        plural(len(coverage.skipped_nodes), "node") + " skipped",
        plural(inconclusive_objects(coverage), "object") + " inconclusive",
    ]
    gaps = [gap for gap in missing if not gap.startswith("0 ")]
    how = f" {effort}" if effort else ""
    return "; ".join([f"Checked {', '.join(checked)}{how}", *gaps])


def run_sentence(ended: RunEnded) -> str:
    """The coverage with the number of rounds and the duration: near the end of every run."""
    effort = f"in {plural(ended.looks, 'round')} ({duration(ended.seconds)})"
    return coverage_sentence(ended.coverage, effort)


def inconclusive_objects(coverage: Coverage) -> int:
    """How many objects could not be decided: they kept changing, or something else explains it."""
    return coverage.undecided + sum(coverage.unjudged.values())


def _between_helpers(coverage: Coverage) -> str:
    """`large payloads between helper pods on 3/3 nodes (all pairs)`."""
    of, most = coverage.helper_pods, sampled_peers(coverage.helper_pods)
    how = f"from each to {most}/{of - 1:,} others" if most else "all pairs"
    nodes = f"{of:,}/{plural(coverage.helper_pods_wanted, 'node')}"
    return f"large payloads between helper pods on {nodes} ({how})"


def cluster_sentence(cluster: ClusterRecord) -> str:
    """The cluster: `prod, Kubernetes v1.34.4, kube-proxy in iptables mode`."""
    parts = [cluster.name or "unnamed cluster"]
    if cluster.version:
        parts.append(f"Kubernetes {cluster.version}")
    if cluster.proxy_modes:
        parts.append(f"kube-proxy in {' and '.join(cluster.proxy_modes)} mode")
    return ", ".join(parts)


def following_sentence(causes: Sequence[str]) -> str:
    """`Likely follows from links.attached.`; empty if it does not follow from other checks."""
    return f"Likely follows from {listed(causes, 5)}." if causes else ""


def inspect_command(finding: FindingRecord, started: RunStarted) -> str:
    """The command that shows the finding's object as the run saw it; empty if there is none."""
    words = ("wirecheck inspect", finding.inspect, started.inspect_options)
    return " ".join(filter(None, words)) if finding.inspect else ""


def since_words(finding: FindingRecord) -> str:
    """`since 2026-11-22 19:03 UTC (kube-proxy's last sync)`; empty if nothing shows it."""
    since = finding.since
    return f"since {moment(since.time)} ({since.by})" if since else ""


def finding_sentence(finding: FindingRecord) -> str:
    """`Pod shop/web-0: expected 10.244.1.7; found none (flaky: in rounds 1 and 3 of 3)`."""
    flaky = f" (flaky: {finding.flaky})" if finding.flaky else ""
    about = object_name(finding)
    return f"{about}: expected {finding.expected}; found {finding.found}{flaky}"


def object_name(finding: FindingRecord) -> str:
    """The object of a finding: `Pod shop/web-0 eth0 (Deployment/web)`."""
    about = finding.object
    return f"{about} ({about.workload})" if about.workload else str(about)
