"""Metrics for node_exporter's textfile collector. Their number does not depend on the cluster.

No label is a node, a pod or a Service: those are in the report. Each check has a series for each
outcome, zeros included, so that no series appears or disappears between runs.
"""

from __future__ import annotations

from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.sentences import inconclusive_objects
from wirecheck.results.records import Results
from wirecheck.text import harmless


def render(results: Results) -> str:
    """The complete file."""
    registry = CollectorRegistry()
    cluster = harmless(results.started.cluster.name)
    _add_run(registry, results, cluster)
    _add_checks(registry, results, cluster)
    _add_coverage(registry, results, cluster)
    return generate_latest(registry).decode()


def _add_run(registry: CollectorRegistry, results: Results, cluster: str) -> None:
    started, ended = results.started, results.ended
    build = Gauge("wirecheck_build_info", "Version of wirecheck.", ["version"], registry=registry)
    build.labels(harmless(started.wirecheck)).set(1)
    values = {
        "wirecheck_run_timestamp_seconds": ("Time of the run.", _time(started.time)),
        "wirecheck_run_duration_seconds": ("Duration of the run.", ended.seconds),
        "wirecheck_run_looks": ("Number of rounds.", ended.looks),
        "wirecheck_run_status": (
            "Exit status: 0 healthy, 1 fail, 2 not everything could be checked, 5 nothing to do.",
            ended.status,
        ),
    }
    for name, (what, value) in values.items():
        Gauge(name, what, ["cluster"], registry=registry).labels(cluster).set(value)
    measured = Gauge(
        "wirecheck_measured",
        "Measured values, each the maximum or the median of all nodes.",
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
            "Findings that are new, known, fixed, or not checked again.",
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
        ("nodes", "skipped"): len(seen.skipped_nodes),
        ("pods", "seen"): seen.pods_seen,
        ("pods", "known"): seen.pods_known,
        ("services", "seen"): seen.services_seen,
        ("services", "known"): seen.services_known,
        ("objects", "inconclusive"): inconclusive_objects(seen),
    }
    coverage = Gauge(
        "wirecheck_coverage_objects",
        "Number of known objects, and of checked ones.",
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
