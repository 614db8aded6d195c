"""A network namespace as netlink reports it, with the names that `ip -j` uses."""

from __future__ import annotations

from typing import Annotated

from wirecheck.snapshot.command import Command
from wirecheck.snapshot.part import FEW, MANY, VERY_MANY, SnapshotPart, Text, Word


class Link(SnapshotPart, frozen=True):
    """A network interface (RTM_GETLINK)."""

    index: int
    name: Word
    flags: Annotated[list[Word], FEW] = []
    """As `ip` prints them: UP (administratively), LOWER_UP (carrier), BROADCAST …"""
    mtu: int = 0
    operstate: Word = ""
    mac: Word = ""
    kind: Word = ""
    """veth, bridge, vxlan, dummy …; empty for hardware and lo."""
    peer_index: int | None = None
    """IFLA_LINK: for a veth, the other end's index, in the other end's netns."""
    peer_nsid: int | None = None
    """IFLA_LINK_NETNSID: which netns that is, in the numbering of this netns."""
    master: int | None = None
    port_kind: Word = ""
    port_state: int | None = None
    """Of a bridge port: 0 disabled, 1 listening, 2 learning, 3 forwarding, 4 blocking."""
    port_hairpin: bool | None = None
    port_isolated: bool | None = None
    """Whether the bridge passes no frames between it and other isolated ports. None for devices
    that are no ports of a bridge, and in documents of older programs."""
    port_flooded: bool | None = None
    """Of a bridge port: whether it gets frames for MACs that the bridge does not know; None in
    documents of older programs."""
    vlan_filtering: bool | None = None
    """Of a bridge: whether it filters by VLAN; None in documents of older programs."""
    vxlan_id: int | None = None
    vxlan_local: Word = ""
    vxlan_port: int | None = None
    alias: Word = ""


class Address(SnapshotPart, frozen=True):
    """An address of an interface (RTM_GETADDR)."""

    index: int
    address: Word
    prefix: int
    scope: Word = "global"
    flags: Annotated[list[Word], FEW] = []
    """permanent, tentative, dadfailed, deprecated, secondary …"""
    peer: Word = ""


class Route(SnapshotPart, frozen=True):
    """A route (RTM_GETROUTE), without the local, broadcast and cache ones."""

    family: int
    destination: Word
    """`default` or a prefix such as `10.244.1.0/24`."""
    table: int = 254
    type: Word = "unicast"
    gateway: Word = ""
    index: int | None = None
    source: Word = ""
    scope: Word = "global"
    protocol: int = 0
    metric: int = 0
    onlink: bool = False
    hops: Annotated[list[Annotated[dict[Word, Word], FEW]], MANY] = []
    """The next hops of a multipath route: `gateway`, `index`, `weight`."""


class Rule(SnapshotPart, frozen=True):
    """A routing rule (RTM_GETRULE)."""

    family: int
    priority: int
    table: int
    source: Word = ""
    destination: Word = ""
    iif: Word = ""
    oif: Word = ""
    mark: Word = ""
    action: Word = "lookup"
    protocol: int | None = None
    """The protocol number of rtnetlink (2: the kernel); None in documents of older programs."""
    goto: int | None = None
    """The priority at which the rules continue; None in documents of older programs."""
    suppress_prefix: int | None = None
    """Routes with a prefix up to this length are ignored (`suppress_prefixlength`)."""
    other_selectors: Annotated[list[Word], FEW] = []
    """Selectors that only some packets of a source match: a user, a protocol, ports …"""


class Neighbour(SnapshotPart, frozen=True):
    """A neighbour entry (RTM_GETNEIGH)."""

    index: int
    address: Word
    mac: Word = ""
    state: Word = ""


class Fdb(SnapshotPart, frozen=True):
    """An entry of a bridge's or VXLAN device's forwarding database."""

    index: int
    mac: Word
    destination: Word = ""
    master: int | None = None
    state: Word = ""
    flags: Annotated[list[Word], FEW] = []


class Listener(SnapshotPart, frozen=True):
    """A listening TCP socket (sock_diag, or /proc/PID/net/tcp and tcp6)."""

    address: Word
    """`0.0.0.0` and `::` are all addresses of a family."""
    port: int
    v6only: bool | None = None
    """Whether an IPv6 socket accepts IPv6 only; None for IPv4, and where only /proc was read."""


class DeviceProgram(SnapshotPart, frozen=True):
    """A program or filter that is attached to an interface, or its netem queue."""

    index: int
    hook: Word
    """`tc ingress`, `tc egress`, `tcx ingress`, `xdp`, `netkit primary` … or `qdisc`."""
    kind: Word
    """`bpf`, or the kind of a filter (`u32`, `flower`, `matchall`) or queue (`netem`)."""
    name: Word = ""
    """Of a program; the kernel keeps 15 characters. Of a filter its actions: `drop`, `mirred`."""
    id: int = 0
    drops: int = 0
    """Packets that all filters of tc on the interface dropped, since it was created."""


class XfrmPolicy(SnapshotPart, frozen=True):
    """A policy of IPsec (XFRM_MSG_GETPOLICY), without its keys."""

    direction: Word
    """`in`, `out` or `fwd`."""
    action: Word
    """`allow` or `block`."""
    source: Word
    """A prefix: `10.244.1.0/24`, or `0.0.0.0/0`."""
    destination: Word
    priority: int = 0
    is_plain: bool = True
    """Whether its selector has nothing but the two prefixes, so that all their packets match."""
    has_template: bool = False
    """Whether packets are transformed: an `allow` without one lets them pass as they are."""


class Namespace(SnapshotPart, frozen=True):
    """One network namespace; the first one of a document is the node's own."""

    inode: int
    nsid: int | None = None
    """Its number in the node's own netns, if it has one."""
    mounted: Word = ""
    """Where it is bind-mounted, e.g. /run/netns/cni-…"""
    processes: int = 0
    links: Annotated[list[Link], MANY] = []
    addresses: Annotated[list[Address], MANY] = []
    routes: Annotated[list[Route], VERY_MANY] = []
    local_routes: Annotated[list[Route], VERY_MANY] = []
    """Those of the type local, without the ones that the kernel adds for addresses; none in
    documents of older programs."""
    rules: Annotated[list[Rule], MANY] = []
    neighbours: Annotated[list[Neighbour], VERY_MANY] = []
    fdb: Annotated[list[Fdb], VERY_MANY] = []
    conntrack_count: int | None = None
    redirect: Text = ""
    """nat rules in a pod's netns (a service mesh); listed only if a probe failed."""
    listeners: Annotated[list[Listener], MANY] | None = None
    """None if they were not read, and in documents of older programs."""
    listeners_cut: bool = False
    """Whether there are more than the program lists."""
    filters: Annotated[list[Word], FEW] | None = None
    """Of a pod: its packet filter tables, `nat` (iptables-legacy) or `ip nat` (nftables)."""
    listings: Annotated[dict[Word, Command], FEW] = {}
    """Of a pod: the rules of its packet filter tables, by the ids of the node's own commands
    (`iptables-nft-save`, `nft-table inet guard`). What of `filters` is not here was not read."""
    programs: Annotated[list[DeviceProgram], MANY] | None = None
    """Attached to its interfaces; None in documents of older programs."""
    xfrm_policies: Annotated[list[XfrmPolicy], MANY] | None = None
    """None if they were not read, and in documents of older programs."""
    settings: Annotated[dict[Word, Word], MANY] | None = None
    """Sysctls of a pod's netns that decide about packets, such as `net/ipv4/conf/eth0/arp_ignore`.
    None for the node's own netns, whose files are apart, and in documents of older programs."""
    error: Word = ""
    """Why it could not be entered or read; the lists are incomplete then."""
