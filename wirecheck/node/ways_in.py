"""The devices by which connections to Services come in and leave, as rules distinguish them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from wirecheck.addresses import IPNetwork, address, contains
from wirecheck.dataplane.rules.steps import LOOPBACK
from wirecheck.dataplane.table import Client
from wirecheck.node.netns import Interface
from wirecheck.node.outside import OUTSIDE
from wirecheck.node.seen import NodeSeen

MOST_LOOKUPS = 16
"""At most so many routes to pods of this node, and of other nodes, are looked up."""


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


def bridge_of_pods(seen: NodeSeen) -> str:
    """The bridge that the routes to all pod ranges of the node lead to; empty if there is none.

    With other plugins each pod has a device of its own, and some pods of other nodes may have
    addresses that kube-proxy takes for local ones.
    """
    if not seen.assigns_from_pod_cidrs or not seen.pod_ranges:
        return ""
    found = [_device_to(seen, each) for each in seen.pod_ranges]
    names = {each.name for each in found if each is not None and each.is_bridge}
    return names.pop() if len(names) == 1 and None not in found else ""


def uplink(seen: NodeSeen) -> str:
    """The device of the default route; empty if there is none, or several by further conditions."""
    found = {way_out(seen, str(each)) for each in OUTSIDE.values()} - {"", LOOPBACK}
    return found.pop() if len(found) == 1 else ""


def never_by_uplink(seen: NodeSeen, device: str) -> frozenset[Client]:
    """The kinds of pods whose packets come in by other devices, as the routes to them show."""
    here = [address for pod in seen.pods if pod.has_own_netns for address in pod.addresses]
    there = [
        address
        for name, pods in seen.cluster.pod_index.by_node.items()
        if name != seen.name
        for pod in islice((each for each in pods if each.has_own_netns), 1)
        for address in pod.addresses
    ]
    kinds = {Client.POD: here, Client.REMOTE_POD: there}
    return frozenset(
        kind
        for kind, known in kinds.items()
        if known
        and all(way_out(seen, str(each)) not in ("", device) for each in known[:MOST_LOOKUPS])
    )


def _device_to(seen: NodeSeen, range_: IPNetwork) -> Interface | None:
    """The device of the route to a whole range."""
    route = seen.routing.route_to(range_.network_address, range_.prefixlen)
    return seen.routing.device_of(route) if route else None


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
