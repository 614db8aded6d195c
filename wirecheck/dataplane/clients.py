"""The kinds of clients of one node as sets of source addresses.

Rules distinguish clients by source ranges. All addresses of a kind are treated alike until a rule
matches some of them only: then the kind is split into regions along the rule's range.
Addresses are integers here, and sets of them sorted tuples of inclusive intervals: a range
test is made for every rule of every frontend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from wirecheck.addresses import IPAddress, IPNetwork, address, canonical
from wirecheck.api_index.node_addresses import node_ips, pod_ranges
from wirecheck.dataplane.proxy import DetectLocal, Mode, ProxyFacts
from wirecheck.dataplane.table import Client
from wirecheck.snapshot.objects.node import NodeObject

WayOut = Callable[[str], str]
"""Returns the device of the route to an address."""

Intervals = tuple[tuple[int, int], ...]
"""Sorted, disjoint, not adjacent; both ends are included."""

BITS = {4: 32, 6: 128}
LOCALHOST = IPv4Address("127.0.0.1")


def everything(family: int) -> Intervals:
    """All addresses of a family."""
    return ((0, (1 << BITS[family]) - 1),)


def intervals(networks: Iterable[IPNetwork]) -> Intervals:
    """The union of ranges of one family."""
    spans = sorted((int(n.network_address), int(n.broadcast_address)) for n in networks)
    merged: list[tuple[int, int]] = []
    for low, high in spans:
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def joined(of: Iterable[Intervals]) -> Intervals:
    """The union of disjoint sets of addresses."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(span for spans in of for span in spans):
        if found and low == found[-1][1] + 1:
            found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return tuple(found)


def intersection(left: Intervals, right: Intervals) -> Intervals:
    """The addresses in both."""
    found = []
    for low, high in left:
        for other_low, other_high in right:
            start, end = max(low, other_low), min(high, other_high)
            if start <= end:
                found.append((start, end))
    return tuple(found)


def difference(left: Intervals, right: Intervals) -> Intervals:
    """The addresses in `left` but not in `right`."""
    remaining = list(left)
    for cut_low, cut_high in right:
        pieces = []
        for low, high in remaining:
            if cut_high < low or high < cut_low:
                pieces.append((low, high))
                continue
            if low < cut_low:
                pieces.append((low, cut_low - 1))
            if cut_high < high:
                pieces.append((cut_high + 1, high))
        remaining = pieces
    return tuple(remaining)


def ranges(spans: Intervals, family: int) -> tuple[str, ...]:
    """The same as text: the fewest ranges that cover exactly these addresses."""
    kind = IPv4Address if family == 4 else IPv6Address
    return tuple(
        str(each) for low, high in spans for each in summarize_address_range(kind(low), kind(high))
    )


@dataclass(frozen=True)
class Clients:
    """Who connects to Services through one node, by family (4, 6) and kind.

    A kind without known addresses (no pod range, no node address of that family) is absent, and
    is not compared.
    """

    sources: Mapping[int, Mapping[Client, Intervals]]
    node_addresses: Mapping[int, IPAddress]
    """The node's first address of each family, where node ports are compared."""
    local_addresses: frozenset[str]
    """All addresses of the node that are known, for rules about local destinations."""
    further_addresses: Mapping[int, tuple[IPAddress, ...]] = field(default_factory=dict)
    """The node's other addresses where node ports may be open, by family."""
    apart_on_localhost: frozenset[int] = frozenset()
    """Node ports with rules for loopback addresses only."""
    local_interface: str = ""
    """Where the packets of this node's pods come in, if kube-proxy is configured with it."""
    bridge: str = ""
    """The bridge of all pods of the node, by which nobody else comes in; empty if there is none."""
    cluster: Mapping[int, Intervals] = field(default_factory=dict)
    """All addresses of nodes and pods that are known, by family."""
    interfaces: frozenset[str] | None = None
    """The devices by which clients come in; None if that is not known."""
    uplink: str = ""
    """The device of the default route, by which some clients outside the cluster come in."""
    cluster_ips: frozenset[str] = frozenset()
    """Addresses to which the network outside the cluster usually has no route."""
    is_uplink_certain: bool = True
    never_by_uplink: frozenset[Client] = frozenset()
    """Kinds of clients of which all come in by other devices."""
    way_out: WayOut | None = field(default=None, compare=False)
    """The device by which the node sends packets to an address, empty if that is not known."""

    @property
    def of_cluster_ips(self) -> Clients:
        """Who connects to cluster IPs: it is not certain that anybody comes in by the uplink."""
        return replace(self, is_uplink_certain=False)

    @property
    def on_localhost(self) -> Clients:
        """Who connects to 127.0.0.1: the node itself, from that address."""
        only = {Client.NODE: ((int(LOCALHOST), int(LOCALHOST)),)}
        return replace(self, sources={4: only})

    def of(self, family: int) -> Mapping[Client, Intervals]:
        """The kinds of clients that are known in a family."""
        return self.sources.get(family, {})


def clients_of(
    node: NodeObject,
    facts: ProxyFacts,
    host_addresses: Iterable[str] = (),
    open_addresses: Iterable[str] = (),
    cluster: Mapping[int, Intervals] | None = None,
) -> Clients:
    """The clients of `node`; `host_addresses` are those of its interfaces, where seen.

    `open_addresses` are those where node ports are compared besides the node's first address:
    not the ones that kube-proxy itself binds. `cluster` are all addresses of the cluster, by
    family.

    Pods have the addresses of the node's pod ranges, or of the cluster's range if the plugin does
    not use node ranges. No client has a loopback address.
    """
    own = node_ips(node)
    first: dict[int, IPAddress] = {}
    for each in own:
        first.setdefault(each.version, each)
    # The node often does not have its ExternalIP itself: a cloud translates it.
    local = {*map(canonical, host_addresses), *map(str, own)}
    uses_interface = facts.detect_local in (
        DetectLocal.BRIDGE_INTERFACE,
        DetectLocal.INTERFACE_NAME_PREFIX,
    )
    return Clients(
        sources={family: _kinds(family, node, facts, first.get(family)) for family in (4, 6)},
        node_addresses=first,
        local_addresses=frozenset(local),
        further_addresses=_further(open_addresses, facts, first),
        local_interface=facts.local_interface if uses_interface else "",
        cluster=cluster or {},
    )


def _further(
    texts: Iterable[str], facts: ProxyFacts, first: Mapping[int, IPAddress]
) -> Mapping[int, tuple[IPAddress, ...]]:
    """Without link-local addresses of IPv6, which need a zone, and loopback that is never open."""
    found: dict[int, list[IPAddress]] = {4: [], 6: []}
    for each in sorted(set(map(address, texts)), key=int):
        is_link_local = each.version == 6 and each.is_link_local
        # kube-proxy sets route_localnet in iptables mode, for IPv4 only.
        is_out = each.is_loopback and (facts.mode is not Mode.IPTABLES or each != LOCALHOST)
        if each not in first.values() and not is_link_local and not is_out:
            found[each.version].append(each)
    return {family: tuple(of) for family, of in found.items() if family in first}


def _kinds(
    family: int, node: NodeObject, facts: ProxyFacts, own: IPAddress | None
) -> dict[Client, Intervals]:
    from_pod_ranges = _of_family(family, pod_ranges(node))
    cluster = _of_family(family, facts.cluster_cidrs or ())
    pods = from_pod_ranges or cluster
    remote = difference(cluster, from_pod_ranges)
    node_itself = ((int(own), int(own)),) if own is not None else ()
    loopback = ((127 << 24, (128 << 24) - 1),) if family == 4 else ((1, 1),)
    outside = everything(family)
    for known in (pods, remote, node_itself, loopback):
        outside = difference(outside, known)
    kinds = {
        Client.POD: difference(pods, node_itself),
        Client.NODE: node_itself,
        Client.REMOTE_POD: difference(remote, node_itself),
        Client.OUTSIDE: outside,
    }
    return {client: spans for client, spans in kinds.items() if spans}


def _of_family(family: int, networks: Iterable[IPNetwork]) -> Intervals:
    return intervals(each for each in networks if each.version == family)
