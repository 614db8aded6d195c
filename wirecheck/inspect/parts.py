"""Parts that several views share. Field names are those of the JSON, and are documented."""

from __future__ import annotations

from msgspec import Struct

from wirecheck.node.device_programs import described, programs_on
from wirecheck.node.netns import Interface, Netns
from wirecheck.snapshot.netns import Route


class View(Struct, frozen=True, kw_only=True):
    """A part of what `wirecheck inspect` shows. Its JSON always has every field."""


class Source(View, frozen=True, kw_only=True):
    """The snapshot that the view was made from."""

    cluster: str
    """The cluster's name in the inventory, otherwise the kubeconfig's context, or the uid."""
    version: str
    """Of the API server."""
    time: float
    """The start of the round, in seconds since the epoch."""
    looks: int
    """The number of rounds."""


class FindingView(View, frozen=True, kw_only=True):
    """A finding of `wirecheck run` on the same snapshot."""

    check: str
    level: str
    """`fail`, `error` or `warn`."""
    outcome: str
    """The outcome of the check on this node: `waived` if a waiver covers it."""
    node: str = ""
    """Empty for a check of the cluster."""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    part: str = ""
    expected: str = ""
    found: str = ""
    evidence: list[str] = []
    since: str = ""
    """Since when, and which fact shows it; empty if none does."""
    follows_from: str = ""
    """The check from whose finding this one likely follows; empty if it is a root cause."""
    step: str = ""
    """In the view of a pod: the step of the drawing at which it is shown."""


class InterfaceView(View, frozen=True, kw_only=True):
    """A network interface, as `ip link` and `ip address` show it."""

    index: int
    name: str
    kind: str
    peer_index: int | None
    """The index of the other end of a veth pair, in that end's netns."""
    peer_nsid: int | None
    master: str
    """The bridge of which it is a port."""
    mac: str
    mtu: int
    up: bool
    """Whether it is administratively up."""
    carrier: bool
    addresses: list[str]
    """Addresses with prefix lengths, sorted."""
    vxlan_id: int | None = None
    vxlan_port: int | None = None
    vxlan_local: str = ""
    programs: list[str] = []
    """Attached to it: `tc ingress: program cil_from_container (id 1234)`."""

    @property
    def label(self) -> str:
        """`eth0@if11`, as `ip` writes it."""
        return f"{self.name}@if{self.peer_index}" if self.peer_index else self.name


class RouteView(View, frozen=True, kw_only=True):
    """A route, as `ip route` shows it."""

    destination: str
    gateway: str
    device: str
    source: str
    type: str
    table: int
    metric: int
    text: str
    """The route in one line."""


def interface_view(netns: Netns, each: Interface) -> InterfaceView:
    """The view of the interface `each` in `netns`."""
    link = each.link
    holder = netns.by_index.get(link.master) if link.master is not None else None
    return InterfaceView(
        index=link.index,
        name=link.name,
        kind=link.kind,
        peer_index=link.peer_index,
        peer_nsid=link.peer_nsid,
        master=holder.name if holder else "",
        mac=link.mac,
        mtu=link.mtu,
        up=each.is_up,
        carrier="LOWER_UP" in link.flags,
        addresses=sorted(
            f"{a.address}/{a.prefix}" for a in netns.record.addresses if a.index == link.index
        ),
        vxlan_id=link.vxlan_id,
        vxlan_port=link.vxlan_port,
        vxlan_local=link.vxlan_local,
        programs=[described(program) for program in programs_on(netns, each)],
    )


def route_views(netns: Netns) -> list[RouteView]:
    """The routes of `netns` without the kernel's own for link-local and multicast addresses."""
    return [
        route_view(netns, each)
        for each in netns.record.routes
        if not each.destination.startswith(("fe80:", "ff00:"))
    ]


def route_view(netns: Netns, route: Route) -> RouteView:
    """The view of one route. Its text includes the next hops of a multipath route."""
    device = _device(netns, route.index)
    words = [route.destination] if route.type == "unicast" else [route.type, route.destination]
    for keyword, value in (("via", route.gateway), ("dev", device), ("src", route.source)):
        words += [keyword, value] if value else []
    for hop in route.hops:
        index = hop.get("index", "")
        name = _device(netns, int(index)) if index.isdigit() else index
        words.append(f"nexthop via {hop.get('gateway', '')} dev {name}")
    if route.table != MAIN_TABLE:
        words.append(f"table {route.table}")
    if route.metric:
        words.append(f"metric {route.metric}")
    if route.onlink:
        words.append("onlink")
    return RouteView(
        destination=route.destination,
        gateway=route.gateway,
        device=device,
        source=route.source,
        type=route.type,
        table=route.table,
        metric=route.metric,
        text=" ".join(words),
    )


MAIN_TABLE = 254


def _device(netns: Netns, index: int | None) -> str:
    if index is None:
        return ""
    found = netns.by_index.get(index)
    return found.name if found else ("lo" if index == 1 else f"if{index}")
