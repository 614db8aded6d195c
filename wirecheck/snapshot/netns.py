"""A network namespace as netlink reports it, with the names that `ip -j` uses."""

from __future__ import annotations

from wirecheck.snapshot.part import SnapshotPart


class Link(SnapshotPart, frozen=True):
    """A network interface (RTM_GETLINK)."""

    index: int
    name: str
    flags: list[str] = []
    """As `ip` prints them: UP (administratively), LOWER_UP (carrier), BROADCAST …"""
    mtu: int = 0
    operstate: str = ""
    mac: str = ""
    kind: str = ""
    """veth, bridge, vxlan, dummy …; empty for hardware and lo."""
    peer_index: int | None = None
    """IFLA_LINK: for a veth, the other end's index, in the other end's netns."""
    peer_nsid: int | None = None
    """IFLA_LINK_NETNSID: which netns that is, in the numbering of this netns."""
    master: int | None = None
    port_kind: str = ""
    port_state: int | None = None
    """Of a bridge port: 0 disabled, 1 listening, 2 learning, 3 forwarding, 4 blocking."""
    port_hairpin: bool | None = None
    vxlan_id: int | None = None
    vxlan_local: str = ""
    vxlan_port: int | None = None
    alias: str = ""


class Address(SnapshotPart, frozen=True):
    """An address of an interface (RTM_GETADDR)."""

    index: int
    address: str
    prefix: int
    scope: str = "global"
    flags: list[str] = []
    """permanent, tentative, dadfailed, deprecated, secondary …"""
    peer: str = ""


class Route(SnapshotPart, frozen=True):
    """A route (RTM_GETROUTE), without the local, broadcast and cache ones."""

    family: int
    destination: str
    """`default` or a prefix such as `10.244.1.0/24`."""
    table: int = 254
    type: str = "unicast"
    gateway: str = ""
    index: int | None = None
    source: str = ""
    scope: str = "global"
    protocol: int = 0
    metric: int = 0
    onlink: bool = False
    hops: list[dict[str, str]] = []
    """The next hops of a multipath route: `gateway`, `index`, `weight`."""


class Rule(SnapshotPart, frozen=True):
    """A routing rule (RTM_GETRULE)."""

    family: int
    priority: int
    table: int
    source: str = ""
    destination: str = ""
    iif: str = ""
    oif: str = ""
    mark: str = ""
    action: str = "lookup"
    protocol: int | None = None
    """The protocol number of rtnetlink (2: the kernel); None in documents of older programs."""
    goto: int | None = None
    """The priority at which the rules continue; None in documents of older programs."""
    suppress_prefix: int | None = None
    """Routes with a prefix up to this length are ignored (`suppress_prefixlength`)."""
    other_selectors: list[str] = []
    """Selectors that only some packets of a source match: a user, a protocol, ports …"""


class Neighbour(SnapshotPart, frozen=True):
    """A neighbour entry (RTM_GETNEIGH)."""

    index: int
    address: str
    mac: str = ""
    state: str = ""


class Fdb(SnapshotPart, frozen=True):
    """An entry of a bridge's or VXLAN device's forwarding database."""

    index: int
    mac: str
    destination: str = ""
    master: int | None = None
    state: str = ""
    flags: list[str] = []


class Listener(SnapshotPart, frozen=True):
    """A listening TCP socket (sock_diag, or /proc/PID/net/tcp and tcp6)."""

    address: str
    """`0.0.0.0` and `::` are all addresses of a family."""
    port: int
    v6only: bool | None = None
    """Whether an IPv6 socket accepts IPv6 only; None for IPv4, and where only /proc was read."""


class DeviceProgram(SnapshotPart, frozen=True):
    """A program or filter that is attached to an interface, or its netem queue."""

    index: int
    hook: str
    """`tc ingress`, `tc egress`, `tcx ingress`, `xdp`, `netkit primary` … or `qdisc`."""
    kind: str
    """`bpf`, or the kind of a filter (`u32`, `flower`, `matchall`) or queue (`netem`)."""
    name: str = ""
    """Of a program; the kernel keeps 15 characters. Of a filter its actions: `drop`, `mirred`."""
    id: int = 0
    drops: int = 0
    """Packets that all filters of tc on the interface dropped, since it was created."""


class Namespace(SnapshotPart, frozen=True):
    """One network namespace; the first one of a document is the node's own."""

    inode: int
    nsid: int | None = None
    """Its number in the node's own netns, if it has one."""
    mounted: str = ""
    """Where it is bind-mounted, e.g. /run/netns/cni-…"""
    processes: int = 0
    links: list[Link] = []
    addresses: list[Address] = []
    routes: list[Route] = []
    rules: list[Rule] = []
    neighbours: list[Neighbour] = []
    fdb: list[Fdb] = []
    conntrack_count: int | None = None
    redirect: str = ""
    """nat rules in a pod's netns (a service mesh); listed only if a probe failed."""
    listeners: list[Listener] | None = None
    """None if they were not read, and in documents of older programs."""
    listeners_cut: bool = False
    """Whether there are more than the program lists."""
    filters: list[str] | None = None
    """Of a pod: its packet filter tables, `nat` (iptables-legacy) or `ip nat` (nftables)."""
    programs: list[DeviceProgram] | None = None
    """Attached to its interfaces; None in documents of older programs."""
    error: str = ""
    """Why it could not be entered or read; the lists are incomplete then."""
