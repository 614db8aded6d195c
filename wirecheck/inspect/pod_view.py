"""The whole wire of one pod, from its containers to the other nodes, as data."""

from __future__ import annotations

from wirecheck.inspect.parts import FindingView, InterfaceView, RouteView, Source, View

FORMAT = 1


class ContainerView(View, frozen=True, kw_only=True):
    """A container, by the API."""

    name: str
    image: str
    ready: bool
    restarts: int


class NetnsView(View, frozen=True, kw_only=True):
    """The network namespace that the pod's processes are in."""

    inode: int
    nsid: int | None
    """Its number as the node's own netns knows it."""
    mounted: str
    """Where it is mounted: what `nsenter --net=` takes."""
    processes: int
    is_the_nodes: bool
    """Whether it is the node's own: a pod on the host's network."""


class PeerView(View, frozen=True, kw_only=True):
    """The way to another node's pods, as this node has it."""

    node: str
    range: str
    """The other node's range of pod addresses."""
    route: str
    """Empty where no route leads there."""
    device: str
    gateway: str
    gateway_mac: str
    """From the neighbour table; empty where there is no entry."""
    tunnel_to: str
    """Where the overlay device sends frames for that MAC, from its forwarding database."""
    node_addresses: list[str]
    """The other node's own, by the API."""


class LookupView(View, frozen=True, kw_only=True):
    """A DNS lookup that was made from the pod's netns."""

    question: str
    server: str
    transport: str
    seconds: float
    tries: int
    answer: str
    problem: str
    """Empty where the answer is the one that the API implies."""


class DnsView(View, frozen=True, kw_only=True):
    """The pod's resolv.conf and what it was answered."""

    servers: list[str]
    searches: list[str]
    options: list[str]
    unread: str
    """Why resolv.conf was not read; empty where it was."""
    lookups: list[LookupView]


class PolicyView(View, frozen=True, kw_only=True):
    """A NetworkPolicy that selects the pod."""

    name: str
    types: list[str]
    """`Ingress`, `Egress`."""


class PodSide(View, frozen=True, kw_only=True):
    """The wire inside the pod's netns."""

    interface: InterfaceView | None
    """`eth0`, or else the first one besides lo."""
    routes: list[RouteView]


class NodeSide(View, frozen=True, kw_only=True):
    """The wire on the node."""

    interface: InterfaceView | None
    """The other end of the pair."""
    problem: str
    """What is wrong with the pair at first sight; empty where nothing is."""
    bridge: InterfaceView | None
    """What the other end is a port of."""
    routes: list[RouteView]
    """By which packets for the pod leave the node's own stack."""


class WayOut(View, frozen=True, kw_only=True):
    """From the node to other nodes."""

    overlay: InterfaceView | None
    """The tunnel device, where there is one."""
    uplink: InterfaceView | None
    """The node's interface that has its own address."""
    peers: list[PeerView]


class WireView(View, frozen=True, kw_only=True):
    """The part that only the pod's node can tell."""

    unseen: str = ""
    """Why nothing, or less than all, is known from the node; empty where it was seen."""
    runtime: str = ""
    netns: NetnsView | None = None
    pod_side: PodSide | None = None
    """None for a pod on the host's network."""
    node_side: NodeSide | None = None
    way_out: WayOut | None = None
    dns: DnsView | None = None
    connections: tuple[str, ...] = ()
    """Entries of the node's connection table with one of the pod's addresses, as printed."""
    connections_note: str = ""


class PodView(View, frozen=True, kw_only=True):
    """Everything about one pod."""

    format: int = FORMAT
    source: Source
    namespace: str
    name: str
    uid: str
    workload: str
    """What made it: `Deployment/web`."""
    node: str
    phase: str
    """`Terminating` for one that is being deleted."""
    ready: bool
    host_network: bool
    addresses: list[str]
    """By the API."""
    containers: list[ContainerView]
    wire: WireView
    policies: list[PolicyView]
    services: list[str]
    """That have the pod among their endpoints: `NAMESPACE/NAME`."""
    findings: list[FindingView]
