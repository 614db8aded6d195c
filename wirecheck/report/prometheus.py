"""Metrics for node_exporter's textfile collector. Their number is bounded, whatever the cluster.

Names follow Prometheus' rules: one unit for each metric, base units, ratios instead of percent. All
are gauges, because each run replaces the file. The label `node` exists for per-node gauges only,
and only for the nodes with most problems. Pods and Services are in the report. Other series exist
with the value zero, so that none appears or disappears between runs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.sentences import inconclusive_objects
from wirecheck.results.measures import CONNTRACK_USE, DNS_LOST, DNS_MEDIAN, DNS_SLOW
from wirecheck.results.ordering import WORST_FIRST, is_spared, worst
from wirecheck.results.records import Results
from wirecheck.results.tally import tally_of
from wirecheck.text import harmless, shortened

MOST_NODES = 100
"""Nodes that have series of their own: those with most failures first."""

LONGEST_LABEL = 200

NODE_OUTCOMES = WORST_FIRST[: WORST_FIRST.index(Outcome.WARN) + 1]
"""The outcomes that a node is listed for, the worst first."""

PERCENT = 0.01


@dataclass(frozen=True, slots=True)
class MeasuredMetric:
    """The metric of a measured value, and the factor that makes its unit a base unit."""

    name: str
    what: str
    factor: float = 1


MEASURED: Mapping[str, MeasuredMetric] = {
    CONNTRACK_USE: MeasuredMetric(
        "wirecheck_conntrack_max_usage_ratio",
        "Use of the conntrack table, on the node where it is fullest.",
        PERCENT,
    ),
    DNS_MEDIAN: MeasuredMetric(
        "wirecheck_dns_median_latency_seconds",
        "DNS latency, the median of all nodes' medians.",
    ),
    DNS_SLOW: MeasuredMetric(
        "wirecheck_dns_max_p95_latency_seconds",
        "DNS latency, the 95th percentile on the node where it is slowest.",
    ),
    DNS_LOST: MeasuredMetric(
        "wirecheck_dns_lost_tries_ratio",
        "DNS queries without an answer, on all nodes.",
        PERCENT,
    ),
}
"""By the name of the measure in `results.measures`."""


class Exposition:
    """The metrics of one cluster, in the order in which they are added."""

    def __init__(self, cluster: str) -> None:
        self._registry = CollectorRegistry()
        self._cluster = label_value(cluster)

    def add(self, name: str, what: str, value: float) -> None:
        """Add a metric with one series."""
        self._gauge(name, what, ()).labels(self._cluster).set(value)

    def add_series(
        self,
        name: str,
        what: str,
        labels: tuple[str, ...],
        values: Mapping[tuple[str, ...], float],
    ) -> None:
        """Add a metric with a series for each key of `values`, which has the labels' values."""
        gauge = self._gauge(name, what, labels)
        for key, value in values.items():
            gauge.labels(self._cluster, *map(label_value, key)).set(value)

    def add_version(self, version: str) -> None:
        """Add the version of wirecheck; it is no fact about a cluster."""
        what = "Version of wirecheck."
        gauge = Gauge("wirecheck_build_info", what, ["version"], registry=self._registry)
        gauge.labels(label_value(version)).set(1)

    @property
    def text(self) -> str:
        """The complete file."""
        return generate_latest(self._registry).decode()

    def _gauge(self, name: str, what: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(name, what, ["cluster", *labels], registry=self._registry)


def render(results: Results) -> str:
    """The complete file."""
    cluster = results.started.cluster
    exposition = Exposition(cluster.name or cluster.uid or "unnamed")
    _add_run(exposition, results)
    _add_outcomes(exposition, results)
    _add_nodes(exposition, results)
    _add_coverage(exposition, results)
    _add_comparison(exposition, results)
    _add_measured(exposition, results)
    return exposition.text


def label_value(text: str) -> str:
    """The text without spaces and unprintable characters, so that it can be pasted in a query."""
    return "_".join(shortened(harmless(text), LONGEST_LABEL).split())


def _add_run(exposition: Exposition, results: Results) -> None:
    started, ended = results.started, results.ended
    exposition.add_version(started.wirecheck)
    exposition.add("wirecheck_run_timestamp_seconds", "Time of the run.", _time(started.time))
    exposition.add("wirecheck_run_duration_seconds", "Duration of the run.", ended.seconds)
    exposition.add("wirecheck_run_rounds", "Number of rounds.", ended.looks)
    exposition.add(
        "wirecheck_run_status",
        "Exit status: 0 healthy, 1 fail, 2 not everything could be checked, 5 nothing to do.",
        ended.status,
    )


def _add_outcomes(exposition: Exposition, results: Results) -> None:
    """Add how many items, checks and nodes ended with each outcome, and the root causes."""
    tally = tally_of(results)
    items: dict[tuple[str, ...], float] = {
        (record.id, str(outcome)): 0 for record in results.started.checks for outcome in Outcome
    }
    for item in results.items:
        key = (item.check, str(item.outcome))
        items[key] = items.get(key, 0) + 1
    exposition.add_series(
        "wirecheck_items",
        "Items (one check on one node, or on the cluster) by outcome.",
        ("check", "outcome"),
        items,
    )
    exposition.add_series(
        "wirecheck_checks",
        "Checks by their worst outcome.",
        ("outcome",),
        _by_outcome(tally.outcomes.values()),
    )
    exposition.add(
        "wirecheck_root_causes",
        "Failed checks that do not likely follow from another check.",
        tally.root_causes,
    )


def _add_nodes(exposition: Exposition, results: Results) -> None:
    """Add the nodes by outcome, and series for the nodes with most problems."""
    seen: dict[str, Counter[Outcome]] = defaultdict(Counter)
    for item in results.items:
        if item.node and not is_spared(item, results.ended.spared):
            seen[item.node][item.outcome] += 1
    exposition.add_series(
        "wirecheck_nodes",
        "Nodes by the worst outcome of any check on them.",
        ("outcome",),
        _by_outcome(worst(outcomes) for outcomes in seen.values()),
    )
    problems = {
        node: tuple(-outcomes[each] for each in NODE_OUTCOMES) for node, outcomes in seen.items()
    }
    listed = sorted(
        (node for node, numbers in problems.items() if any(numbers)),
        key=lambda node: (problems[node], node),
    )[:MOST_NODES]
    exposition.add_series(
        "wirecheck_node_items",
        f"Checks on one node by outcome, for at most {MOST_NODES} nodes, the worst ones.",
        ("node", "outcome"),
        {(node, str(each)): seen[node][each] for node in listed for each in NODE_OUTCOMES},
    )


def _add_coverage(exposition: Exposition, results: Results) -> None:
    seen = results.ended.coverage
    exposition.add_series(
        "wirecheck_known_objects",
        "Objects that the API lists.",
        ("kind",),
        {
            ("node",): seen.nodes_known,
            ("pod",): seen.pods_known,
            ("service",): seen.services_known,
        },
    )
    exposition.add_series(
        "wirecheck_checked_objects",
        "Objects that were checked.",
        ("kind",),
        {
            ("node",): seen.nodes_seen,
            ("pod",): seen.pods_seen,
            ("service",): seen.services_seen,
        },
    )
    exposition.add(
        "wirecheck_inconclusive_objects",
        "Objects that could not be decided.",
        inconclusive_objects(seen),
    )
    exposition.add(
        "wirecheck_unreachable_nodes", "Nodes that could not be reached.", len(seen.unreachable)
    )
    exposition.add("wirecheck_skipped_nodes", "Nodes that were skipped.", len(seen.skipped_nodes))


def _add_comparison(exposition: Exposition, results: Results) -> None:
    """Add the changes since the baseline, if there is one."""
    if compared := results.comparison:
        exposition.add_series(
            "wirecheck_baseline_findings",
            "Findings that are new, known, fixed, or not checked again.",
            ("standing",),
            {
                ("new",): compared.new,
                ("known",): compared.known,
                ("fixed",): len(compared.fixed),
                ("unseen",): len(compared.unseen),
            },
        )


def _add_measured(exposition: Exposition, results: Results) -> None:
    """Add the values that at least one node has."""
    for name, metric in MEASURED.items():
        if (value := results.ended.measured.get(name)) is not None:
            exposition.add(metric.name, metric.what, round(value * metric.factor, 9))


def _by_outcome(outcomes: Iterable[Outcome]) -> dict[tuple[str, ...], float]:
    """The number for each outcome, zeros included."""
    numbers = Counter(outcomes)
    return {(str(outcome),): numbers[outcome] for outcome in Outcome}


def _time(text: str) -> float:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return time.replace(tzinfo=time.tzinfo or UTC).timestamp()
