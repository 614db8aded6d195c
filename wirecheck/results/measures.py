"""Values measured on every node, independent of checks: conntrack use, DNS latency. Pure.

The run keeps one number over all nodes for each value, so that runs can be compared.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wirecheck.snapshot.node_document import NodeDocument

NETFILTER = "/proc/sys/net/netfilter/nf_conntrack"

CONNTRACK_USE = "conntrack_use_percent_max"
DNS_MEDIAN = "dns_seconds_median"
DNS_SLOW = "dns_seconds_p95_max"
DNS_LOST = "dns_tries_lost_percent"

MEASURES: Mapping[str, tuple[str, str]] = {
    CONNTRACK_USE: ("conntrack table in use, on the fullest node", "%"),
    DNS_MEDIAN: ("DNS latency, median of all nodes' medians", "s"),
    DNS_SLOW: ("DNS latency, 95th percentile on the slowest node", "s"),
    DNS_LOST: ("DNS tries without an answer, on all nodes", "%"),
}
"""The meaning of each number, and its unit."""


@dataclass(frozen=True, slots=True)
class NodeMeasures:
    """The values of one node; None where they were not measured."""

    conntrack_use: float | None
    dns_median: float | None
    dns_slow: float | None
    tries: int
    lost: int
    has_pods: bool = True
    """Whether the processes of any pod were found."""


def measured_on(document: NodeDocument) -> NodeMeasures:
    """The values of the document's node."""
    count, limit = (
        _number((document.files or {}).get(f"{NETFILTER}{name}", "")) for name in ("_count", "_max")
    )
    tries = [each for probe in document.probes or () for each in probe.tries]
    answered = [each.seconds for each in tries if each.answer]
    return NodeMeasures(
        conntrack_use=100 * count / limit if count is not None and limit else None,
        dns_median=statistics.median(answered) if answered else None,
        dns_slow=_percentile(answered, 0.95) if answered else None,
        tries=len(tries),
        lost=len(tries) - len(answered),
        has_pods=bool(document.pods),
    )


def of_all(nodes: Iterable[NodeMeasures]) -> dict[str, float]:
    """One number for each measure that at least one node has."""
    nodes = list(nodes)
    tries = sum(node.tries for node in nodes)
    lost = sum(node.lost for node in nodes)
    uses = [node.conntrack_use for node in nodes if node.conntrack_use is not None]
    medians = [node.dns_median for node in nodes if node.dns_median is not None]
    slow = [node.dns_slow for node in nodes if node.dns_slow is not None]
    values = {
        CONNTRACK_USE: max(uses, default=None),
        DNS_MEDIAN: statistics.median(medians) if medians else None,
        DNS_SLOW: max(slow, default=None),
        DNS_LOST: 100 * lost / tries if tries else None,
    }
    return {name: round(value, 6) for name, value in values.items() if value is not None}


def _number(text: str) -> float | None:
    return float(text) if text.strip().isdecimal() else None


def _percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by this share of all values."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
