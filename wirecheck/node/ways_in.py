"""The devices by which clients of Services come in, as far as rules distinguish them."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.addresses import contains
from wirecheck.node.seen import NodeSeen


def ways_in(seen: NodeSeen) -> frozenset[str]:
    """All devices of the node except bridges for containers outside Kubernetes, such as docker0.

    Such a bridge has a network of its own, in which neither the node's address nor a pod is.
    """
    return frozenset(_ways_in(seen))


def _ways_in(seen: NodeSeen) -> Iterator[str]:
    kept = {*seen.addresses, *(each for pod in seen.pods for each in pod.addresses)}
    for each in seen.host.interfaces:
        is_for_pods = any(contains(each.networks, address) for address in kept) or any(
            network.version == own.version and network.overlaps(own)
            for network in each.networks
            for own in seen.pod_ranges
        )
        if not each.is_bridge or not each.networks or is_for_pods:
            yield each.name
