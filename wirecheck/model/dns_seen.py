"""What is kept of each node's DNS for the checks of the cluster, after its document is freed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.kubelet_dns import known_kubelet_dns

if TYPE_CHECKING:
    from wirecheck.model.node import Node


@dataclass(frozen=True, slots=True)
class DnsSeen:
    """What one node shows of the cluster's DNS."""

    domain: str = ""
    """The kubelet's clusterDomain; empty if that is unknown."""
    handed_out: tuple[str, ...] = ()
    """The servers that the kubelet gives to pods; empty if they are unknown."""
    why_services_unused: str = ""
    """Why the node's pods do not use the DNS Services; empty if they do, or if that is unknown."""


def dns_seen(node: Node) -> DnsSeen:
    """Return what the node shows; nothing of a node whose document lacks it."""
    with suppress(FactMissingError, NotApplicable, IndexError, ValueError):
        known = known_kubelet_dns(node.seen)
        return DnsSeen(known.domain.lower(), known.servers, node.dns.why_services_unused)
    return DnsSeen()


def why_unused(seen: Mapping[str, DnsSeen]) -> str:
    """Return why no pod uses the DNS Services; empty if one may."""
    reasons = [each.why_services_unused for each in seen.values()]
    return reasons[0] if reasons and all(reasons) else ""


def other_domains(seen: Mapping[str, DnsSeen]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (usual domain, domain, nodes) for each domain that only fewer kubelets have."""
    counted = Counter(each.domain for each in seen.values() if each.domain)
    usual = max(counted, key=lambda each: (counted[each], each), default="")
    for domain in sorted(counted):
        if domain != usual:
            nodes = sorted(name for name, each in seen.items() if each.domain == domain)
            yield usual, domain, nodes
