"""Metrics for node_exporter's textfile collector: bounded in number, whatever the cluster's size.

No label is a node, a pod or a Service: those are in the report. Each check has a series for each
outcome, zeros included, so that none appears or vanishes from run to run.
"""

from __future__ import annotations

from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from wirecheck.catalogue.findings import Outcome
from wirecheck.results.records import Results
from wirecheck.text import harmless


def render(results: Results) -> str:
    """The whole file."""
    registry = CollectorRegistry()
    cluster = harmless(results.started.cluster.name)
    _add_run(registry, results, cluster)
    _add_checks(registry, results, cluster)
    _add_coverage(registry, results, cluster)
    return generate_latest(registry).decode()


def _add_run(registry: CollectorRegistry, results: Results, cluster: str) -> None:
    started, ended = results.started, results.ended
    build = Gauge("wirecheck_build_info", "The wirecheck that ran.", ["version"], registry=registry)
    build.labels(harmless(started.wirecheck)).set(1)
    values = {
        "wirecheck_run_timestamp_seconds": ("When the cluster was looked at.", _time(started.time)),
        "wirecheck_run_duration_seconds": ("How long the run took.", ended.seconds),
        "wirecheck_run_looks": ("How often it was looked.", ended.looks),
        "wirecheck_run_status": (
            "Exit status: 0 healthy, 1 fail, 2 could not look at everything, 5 nothing judged.",
            ended.status,
        ),
    }
    for name, (what, value) in values.items():
        Gauge(name, what, ["cluster"], registry=registry).labels(cluster).set(value)
    measured = Gauge(
        "wirecheck_measured",
        "Values that were measured, each the worst or the middle of all nodes.",
        ["cluster", "value"],
        registry=registry,
    )
    for measure, number in ended.measured.items():
        measured.labels(cluster, measure).set(number)


def _add_checks(registry: CollectorRegistry, results: Results, cluster: str) -> None:
    items = Gauge(
        "wirecheck_items",
        "Items (one check on one node, or on the cluster) by outcome.",
        ["cluster", "check", "outcome"],
        registry=registry,
    )
    for check in results.started.checks:
        for outcome in Outcome:
            items.labels(cluster, check.id, str(outcome)).set(0)
    for item in results.items:
        items.labels(cluster, harmless(item.check), str(item.outcome)).inc()
    if results.comparison:
        against = Gauge(
            "wirecheck_findings_against_baseline",
            "Findings that are new, known, fixed, or were not looked at again.",
            ["cluster", "standing"],
            registry=registry,
        )
        compared = results.comparison
        against.labels(cluster, "new").set(compared.new)
        against.labels(cluster, "known").set(compared.known)
        against.labels(cluster, "fixed").set(len(compared.fixed))
        against.labels(cluster, "unseen").set(len(compared.unseen))


def _add_coverage(registry: CollectorRegistry, results: Results, cluster: str) -> None:
    seen = results.ended.coverage
    numbers = {
        ("nodes", "seen"): seen.nodes_seen,
        ("nodes", "known"): seen.nodes_known,
        ("nodes", "unreachable"): len(seen.unreachable),
        ("nodes", "left out"): len(seen.skipped_nodes),
        ("pods", "seen"): seen.pods_seen,
        ("pods", "known"): seen.pods_known,
        ("services", "seen"): seen.services_seen,
        ("services", "known"): seen.services_known,
        ("objects", "undecided"): seen.undecided,
        ("objects", "not judged"): sum(seen.unjudged.values()),
    }
    coverage = Gauge(
        "wirecheck_coverage_objects",
        "How many objects there are, and how many were looked at.",
        ["cluster", "kind", "state"],
        registry=registry,
    )
    for (kind, state), number in numbers.items():
        coverage.labels(cluster, kind, state).set(number)


def _time(text: str) -> float:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return time.replace(tzinfo=time.tzinfo or UTC).timestamp()
