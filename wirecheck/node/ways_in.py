"""The devices by which connections to Services come in and leave, as rules distinguish them."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.addresses import address, contains
from wirecheck.dataplane.rules.steps import LOOPBACK
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


def way_out(seen: NodeSeen, destination: str) -> str:
    """The device of the route to an address; empty if it depends on more than that.

    Routing rules may select packets by their source or mark, which the packet filter sets.
    """
    target, routing = address(destination), seen.routing
    if not routing.is_by_destination(target.version):
        return ""
    route = routing.route_to(target)
    if route is None or route.type == "local":
        return LOOPBACK if route else ""
    device = routing.device_of(route) if route.type == "unicast" else None
    return device.name if device else ""
