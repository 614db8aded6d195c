"""kube-proxy's metrics about its syncs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from wirecheck.parse.errors import ParseError

PREFIX = "kubeproxy_sync_proxy_rules_"
LONGEST_LINE = 4096
"""The library copies the rest of a line for each label."""


@dataclass(frozen=True, slots=True)
class Sync:
    """The syncs of one IP family. Times are seconds since the epoch; 0 means never."""

    family: str
    """`IPv4` or `IPv6`; empty before 1.33, which had one metric for both."""
    queued: float
    """When a change last requested a sync."""
    done: float
    """When a sync last succeeded."""

    @property
    def is_waiting(self) -> bool:
        return self.queued > self.done


def parse_sync_metrics(text: str) -> tuple[Sync, ...]:
    """The syncs of each family, from the text of /metrics; none if it has no such metric.

    Raises ParseError for text that is not in Prometheus' text format.
    """
    stamps: dict[str, dict[str, float]] = defaultdict(dict)
    if any(len(line) > LONGEST_LINE for line in text.split("\n")):
        raise ParseError("kube-proxy's metrics cannot be parsed: a line is too long")
    try:
        for metric in text_string_to_metric_families(text):
            for sample in metric.samples:
                if sample.name.startswith(PREFIX):
                    family = sample.labels.get("ip_family", "")
                    stamps[sample.name.removeprefix(PREFIX)][family] = sample.value
    except (ValueError, KeyError, IndexError) as error:
        why = str(error)[:200]
        raise ParseError(f"kube-proxy's metrics cannot be parsed: {why}") from error
    queued, done = (stamps[f"last_{word}timestamp_seconds"] for word in ("queued_", ""))
    return tuple(Sync(each, queued[each], done.get(each, 0.0)) for each in sorted(queued))
