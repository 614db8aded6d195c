"""The network of one pod on its node: interfaces, bridge, routes, other nodes."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.addresses import IPAddress, address, contains, network
from wirecheck.api_index.node_addresses import pod_ranges
from wirecheck.api_index.pod import Pod
from wirecheck.inspect.parts import InterfaceView, RouteView, interface_view, route_view
from wirecheck.inspect.pod_view import PeerView
from wirecheck.model.node import Node
from wirecheck.node.netns import Interface, Netns
from wirecheck.node.veth import Veth
from wirecheck.snapshot.netns import Route
from wirecheck.snapshot.objects.node import NodeObject

OVERLAY_KINDS = ("vxlan", "geneve", "ipip", "wireguard", "gre", "sit", "ip6tnl")


def pair_of(node: Node, pod: Pod, netns: Netns) -> Veth | None:
    """The pod's veth pair, if it has one; the host side may be missing."""
    inner = netns.primary
    if inner is None or not inner.is_paired:
        return None
    outer = node.host.by_index.get(inner.link.peer_index or 0)
    return Veth(pod, netns, inner, outer if outer and outer.is_paired else None, node.host)


def problem_of(pair: Veth) -> str:
    """What is wrong with the pair; empty if nothing is."""
    if pair.outer is None:
        return f"the node has no pair with index {pair.inner.link.peer_index}"
    if not pair.points_back:
        return pair.actual_peer
    return ""


def bridge_of(node: Node, pair: Veth) -> InterfaceView | None:
    """The bridge of which the host side is a port."""
    master = pair.outer.link.master if pair.outer else None
    holder = node.host.by_index.get(master) if master is not None else None
    return interface_view(node.host, holder) if holder else None


def uplink_of(node: Node) -> InterfaceView | None:
    """The interface with the node's own address."""
    for each in node.host.interfaces:
        if each.addresses & node.addresses:
            return interface_view(node.host, each)
    return None


def routes_to(node: Node, addresses: frozenset[IPAddress]) -> list[RouteView]:
    """The most specific route to each address in each table, without default routes."""
    best: dict[tuple[int, IPAddress], Route] = {}
    for route in node.host.record.routes:
        if route.destination == "default":
            continue
        range_ = network(route.destination)
        for each in addresses:
            known = best.get((route.table, each))
            is_closer = known is None or network(known.destination).prefixlen < range_.prefixlen
            if contains([range_], each) and is_closer:
                best[route.table, each] = route
    return [route_view(node.host, route) for route in best.values()]


def overlay_of(node: Node) -> InterfaceView | None:
    """The tunnel device for pods' traffic to other nodes, if there is one."""
    found = _overlay(node.host)
    return interface_view(node.host, found) if found else None


def _overlay(host: Netns) -> Interface | None:
    return next((each for each in host.interfaces if each.link.kind in OVERLAY_KINDS), None)


def ranges_of(node: Node, name: str) -> Iterator[str]:
    """The pod ranges of a node, as the node at hand reaches them.

    Where the plugin assigns blocks of its own pools, nothing has an address of spec.podCIDRs: the
    ranges are those of the routes that cover the node's pods.
    """
    if not node.assigns_blocks:
        yield from map(str, pod_ranges(node.cluster.nodes[name]))
        return
    pods = node.cluster.pod_index.by_node.get(name, ())
    known = {a for pod in pods if not pod.on_host_network for a in pod.addresses}
    routes = node.host.record.routes
    blocks = [e.destination for e in routes if "/" in e.destination and (e.gateway or not e.index)]
    covering = [each for each in blocks if any(contains([network(each)], a) for a in known)]
    yield from dict.fromkeys(sorted(covering))


def peers_of(node: Node) -> Iterator[PeerView]:
    """How this node reaches the pods of every other node, by their ranges."""
    for name, other in sorted(node.cluster.nodes.items()):
        if name == node.name:
            continue
        for range_ in ranges_of(node, name):
            yield _peer(node, other, range_)


def _peer(node: Node, other: NodeObject, range_: str) -> PeerView:
    host = node.host
    route = _route_to(host, range_)
    gateway = route.gateway if route else ""
    device = host.by_index.get(route.index) if route and route.index is not None else None
    mac = _mac_of(host, gateway, device)
    return PeerView(
        node=other.metadata.name,
        range=range_,
        route=route_view(host, route).text if route else "",
        device=device.name if device else "",
        gateway=gateway,
        gateway_mac=mac,
        tunnel_to=_tunnel_to(host, mac, device),
        node_addresses=[a.address for a in other.status.addresses if a.type.endswith("IP")],
    )


def _route_to(host: Netns, range_: str) -> Route | None:
    """The most specific route that contains the range, without default routes."""
    wanted = network(range_)
    holding = [
        (network(route.destination).prefixlen, at, route)
        for at, route in enumerate(host.record.routes)
        if route.destination != "default"
        and network(route.destination).version == wanted.version
        and wanted.subnet_of(network(route.destination))  # type: ignore[arg-type]
    ]
    return max(holding)[2] if holding else None


def _mac_of(host: Netns, gateway: str, device: Interface | None) -> str:
    if not gateway or device is None:
        return ""
    wanted = address(gateway)
    for each in host.record.neighbours:
        if each.index == device.index and address(each.address) == wanted:
            return each.mac
    return ""


def _tunnel_to(host: Netns, mac: str, device: Interface | None) -> str:
    if not mac or device is None:
        return ""
    for each in host.record.fdb:
        if each.index == device.index and each.mac == mac and each.destination:
            return each.destination
    return ""
