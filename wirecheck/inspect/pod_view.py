"""One pod as data: its network from its containers to the other nodes."""

from __future__ import annotations

from wirecheck.inspect.ebpf_view import PodMapsView
from wirecheck.inspect.parts import FindingView, InterfaceView, RouteView, Source, View

FORMAT = 1


class ContainerView(View, frozen=True, kw_only=True):
    """A container in the API."""

    name: str
    image: str
    ready: bool
    restarts: int


class NetnsView(View, frozen=True, kw_only=True):
    """The network namespace of the pod's processes."""

    inode: int
    nsid: int | None
    """Its nsid in the node's own netns."""
    mounted: str
    """The path where it is mounted, for `nsenter --net=`."""
    processes: int
    is_the_nodes: bool
    """Whether it is the node's own, as for a pod on the host's network."""


class PeerView(View, frozen=True, kw_only=True):
    """How this node reaches the pods of another node."""

    node: str
    range: str
    """The other node's pod CIDR."""
    route: str
    """Empty if there is no route."""
    device: str
    gateway: str
    gateway_mac: str
    """From the neighbour table; empty if it has no entry."""
    tunnel_to: str
    """The tunnel endpoint for that MAC in the forwarding database of the overlay device."""
    node_addresses: list[str]
    """The other node's addresses in the API."""


class LookupView(View, frozen=True, kw_only=True):
    """A DNS lookup made in the pod's netns."""

    question: str
    server: str
    transport: str
    seconds: float
    tries: int
    answer: str
    problem: str
    """Empty if the answer is the expected one."""


class DnsView(View, frozen=True, kw_only=True):
    """The pod's resolv.conf and its lookups."""

    servers: list[str]
    searches: list[str]
    options: list[str]
    unread: str
    """Why resolv.conf was not read; empty if it was."""
    lookups: list[LookupView]


class PolicyView(View, frozen=True, kw_only=True):
    """A NetworkPolicy that selects the pod."""

    name: str
    types: list[str]
    """`Ingress`, `Egress`."""


class PodSide(View, frozen=True, kw_only=True):
    """The interface and routes in the pod's netns."""

    interface: InterfaceView | None
    """`eth0`, or the first one other than lo."""
    routes: list[RouteView]


class NodeSide(View, frozen=True, kw_only=True):
    """The pod's veth pair and routes on the node."""

    interface: InterfaceView | None
    """The host side of the veth pair."""
    problem: str
    """What is wrong with the pair; empty if nothing is."""
    bridge: InterfaceView | None
    """The bridge of which the host side is a port."""
    routes: list[RouteView]
    """The node's routes to the pod."""


class WayOut(View, frozen=True, kw_only=True):
    """From the node to other nodes."""

    overlay: InterfaceView | None
    """The tunnel device, if there is one."""
    uplink: InterfaceView | None
    """The interface with the node's own address."""
    peers: list[PeerView]


class WireView(View, frozen=True, kw_only=True):
    """The part that is known only from a visit to the pod's node."""

    unseen: str = ""
    """Why nothing, or not everything, is known from the node; empty if everything is."""
    runtime: str = ""
    netns: NetnsView | None = None
    pod_side: PodSide | None = None
    """None for a pod on the host's network."""
    node_side: NodeSide | None = None
    way_out: WayOut | None = None
    dns: DnsView | None = None
    connections: tuple[str, ...] = ()
    """Conntrack entries of the node with an address of the pod, as printed by conntrack."""
    connections_note: str = ""


class PodView(View, frozen=True, kw_only=True):
    """Everything known about one pod."""

    format: int = FORMAT
    source: Source
    namespace: str
    name: str
    uid: str
    workload: str
    """The owner: `Deployment/web`."""
    node: str
    phase: str
    """`Terminating` if the pod is being deleted."""
    ready: bool
    host_network: bool
    addresses: list[str]
    """The addresses in the API."""
    containers: list[ContainerView]
    wire: WireView
    ebpf: PodMapsView | None
    """None where Cilium's maps were not read."""
    policies: list[PolicyView]
    services: list[str]
    """The Services with the pod as an endpoint: `NAMESPACE/NAME`."""
    findings: list[FindingView]
